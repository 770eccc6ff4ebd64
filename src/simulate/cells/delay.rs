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
    /// change of the rates at the last step, and their largest size
    pub moved: f64,
    pub size: f64,
}

impl Ring {
    /// `steps` of `width` numbers.
    pub fn new(steps: usize, width: usize) -> Self {
        Self { slots: vec![0.0; steps * width], width, at: 0, moved: 0.0, size: 0.0 }
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
    pub fn send(&mut self, rates: &[f64]) {
        let last = (self.at + self.steps() - 1) % self.steps();
        let before = &self.slots[last * self.width..(last + 1) * self.width];
        let larger = |m: f64, x: f64| if x > m { x } else { m };
        self.moved = before.iter().zip(rates).fold(0.0, |m, (b, r)| larger(m, (r - b).abs()));
        self.size = rates.iter().fold(self.size, |m, r| larger(m, r.abs()));
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
                ring.send(&[(n + 1) as f64, -((n + 1) as f64)]);
                assert_eq!(ring.moved.to_bits(), 1f64.to_bits());
            }
        }
    }
}
