//! Associative strengths, stimulus by stimulus: what conditioning must give when stimuli are orthogonal.
//!
//! Each stimulus s has one number V_s. In a trial that shows stimuli with intensities x_s and a US of strength u,
//!
//! - hebbian: `V_s += rate u x_s`;
//! - decay: `V_s = g V_s + rate u x_s`;
//! - delta: `V_s += rate (u - sum over s' of V_s' x_s') x_s` (Rescorla & Wagner 1972; Widrow & Hoff 1960).
//!
//! Scalars and loops; it knows no keys, memories or circuits.

/// How strengths change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learning {
    Hebbian { rate: f64 },
    Decay { g: f64, rate: f64 },
    Delta { rate: f64 },
}

/// One trial: the intensity of each stimulus (0: absent), and the US.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    pub stimuli: Vec<f64>,
    pub us: f64,
}

/// The strengths of all stimuli after the trials; each shows `count` stimuli.
#[must_use]
pub fn strengths(learning: Learning, count: usize, trials: &[Trial]) -> Vec<f64> {
    let mut strength = vec![0.0; count];
    for trial in trials {
        let mut predicted = 0.0;
        for (v, x) in strength.iter().zip(&trial.stimuli) {
            predicted += v * x;
        }
        for (v, x) in strength.iter_mut().zip(&trial.stimuli) {
            match learning {
                Learning::Hebbian { rate } => *v += rate * trial.us * x,
                Learning::Decay { g, rate } => *v = g * *v + rate * trial.us * x,
                Learning::Delta { rate } => *v += rate * (trial.us - predicted) * x,
            }
        }
    }
    strength
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(stimuli, us)` so many times.
    fn phase(times: usize, stimuli: &[f64], us: f64) -> Vec<Trial> {
        vec![Trial { stimuli: stimuli.to_vec(), us }; times]
    }

    /// 1 - (1 - b)^n is the acquisition curve, b = 0.1.
    #[test]
    fn acquisition_and_extinction_have_closed_forms() {
        let learning = Learning::Delta { rate: 0.1 };
        let left = 0.9f64.powi(100);
        let got = strengths(learning, 1, &phase(100, &[1.0], 1.0));
        assert!((got[0] - (1.0 - left)).abs() < 1e-14);
        let both = [phase(100, &[1.0], 1.0), phase(100, &[1.0], 0.0)].concat();
        assert!((strengths(learning, 1, &both)[0] - (1.0 - left) * left).abs() < 1e-18);
        assert!((strengths(Learning::Hebbian { rate: 0.1 }, 1, &both)[0] - 10.0).abs() < 1e-12);
        let faded = strengths(Learning::Decay { g: 0.5, rate: 1.0 }, 1, &phase(3, &[1.0], 1.0));
        assert_eq!(faded, [1.75]);
    }
}
