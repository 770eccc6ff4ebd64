//! Streams that are functions of a token's number.

/// How the numbers of one frequency are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// all frequencies, then all again
    Halves,
    /// each frequency twice
    Pairs,
}

/// What a stream says of token `i`.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    /// i
    Index,
    /// 1 at place i of n
    OneHot(usize),
    /// `scale` times the cosines, then the sines, of frequency x i
    Rotary { frequencies: Vec<f64>, scale: f64, pairing: Pairing },
    /// sin(theta^(-2f/d_model) i), cos(theta^(-2f/d_model) i) for f = 0, 1, ...
    Sinusoid { d_model: usize, theta: f64 },
}

impl Positions {
    /// Rotary positions of the frequencies theta^(-2f/dims), f = 0 .. dims/2 - 1.
    #[must_use]
    pub fn rotary(dims: usize, theta: f64, scale: f64, pairing: Pairing) -> Self {
        let frequencies = (0..dims / 2).map(|f| theta.powf(-2.0 * f as f64 / dims as f64)).collect();
        Self::Rotary { frequencies, scale, pairing }
    }

    /// Tokens numbered from `offset`; none of them where one is beyond the places of `OneHot`.
    #[must_use]
    pub fn tokens(&self, n_tokens: usize, offset: usize) -> Option<Vec<Vec<f64>>> {
        (offset..offset + n_tokens).map(|i| self.token(i)).collect()
    }

    fn token(&self, i: usize) -> Option<Vec<f64>> {
        let number = i as f64;
        match self {
            Self::Index => Some(vec![number]),
            Self::OneHot(n) => (i < *n).then(|| (0..*n).map(|at| f64::from(u8::from(at == i))).collect()),
            Self::Rotary { frequencies, scale, pairing } => {
                let laid_out: Vec<f64> = match pairing {
                    Pairing::Halves => frequencies.iter().chain(frequencies).copied().collect(),
                    Pairing::Pairs => frequencies.iter().flat_map(|f| [*f, *f]).collect(),
                };
                let cosines = laid_out.iter().map(|f| scale * (f * number).cos());
                let sines = laid_out.iter().map(|f| scale * (f * number).sin());
                Some(cosines.chain(sines).collect())
            }
            Self::Sinusoid { d_model, theta } => {
                let one = |place: usize| {
                    let angle = number * theta.powf(-((place - place % 2) as f64) / *d_model as f64);
                    if place.is_multiple_of(2) { angle.sin() } else { angle.cos() }
                };
                Some((0..*d_model).map(one).collect())
            }
        }
    }
}
