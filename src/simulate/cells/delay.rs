//! What a delayed projection still has on its way.
//!
//! A rate sent at step n arrives at step n + k, where k is the delay in steps, rounded to the nearest and at least
//! one; before the first arrival there is silence.

/// The last `k` steps of a population's rates.
#[derive(Clone, Debug)]
pub struct Ring {
    slots: Vec<f64>,
    width: usize,
    /// slot of the current step: it holds what was sent k steps ago
    at: usize,
    /// largest change of a rate at the last step, less the tolerated fraction of the rate
    pub unrest: f64,
}

impl Ring {
    /// `steps` of `width` numbers.
    pub fn new(steps: usize, width: usize) -> Self {
        Self { slots: vec![0.0; steps * width], width, at: 0, unrest: 0.0 }
    }

    /// Number of steps on the way.
    pub fn steps(&self) -> usize {
        self.slots.len() / self.width.max(1)
    }

    /// What arrives now.
    pub fn arriving(&self) -> &[f64] {
        &self.slots[self.at * self.width..(self.at + 1) * self.width]
    }

    /// What is sent now, at the end of a step.
    pub fn send(&mut self, rates: &[f64], tolerance: f64) {
        let last = (self.at + self.steps() - 1) % self.steps();
        let before = &self.slots[last * self.width..(last + 1) * self.width];
        let unrest = before.iter().zip(rates).map(|(b, r)| (r - b).abs() - tolerance * r.abs());
        self.unrest = unrest.fold(0.0, |m, x| if x > m { x } else { m });
        self.slots[self.at * self.width..(self.at + 1) * self.width].copy_from_slice(rates);
        self.at = (self.at + 1) % self.steps();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_after_the_delay() {
        for k in 1..5usize {
            let mut ring = Ring::new(k, 2);
            for n in 0..20usize {
                let want = if n < k { 0.0 } else { (n - k + 1) as f64 };
                assert_eq!(ring.arriving(), [want, -want], "delay {k}, step {n}");
                ring.send(&[(n + 1) as f64, -((n + 1) as f64)], 0.0);
                assert_eq!(ring.unrest.to_bits(), 1f64.to_bits());
            }
        }
    }
}
