//! Which frames a path loses.

use crate::rng::Rng;

/// A model of loss.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub enum Loss {
    /// Nothing is lost.
    #[default]
    None,
    /// A share of the frames, each for itself where `burst` is 1, else so many in a row; the share stays as it is.
    Random {
        /// The share, 0 to 1.
        share: f64,
        /// Frames lost together.
        burst: u64,
    },
    /// Good and bad times that come and go (Gilbert 1960, Elliott 1963).
    GilbertElliott(GilbertElliott),
}

/// Two states with a loss probability each; before every frame the state may change.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct GilbertElliott {
    /// Probability to go from good to bad.
    pub to_bad: f64,
    /// Probability to go from bad to good; bad times are `1 / to_good` frames long on average.
    pub to_good: f64,
    /// Probability of loss in the good state.
    pub loss_good: f64,
    /// Probability of loss in the bad state.
    pub loss_bad: f64,
}

impl GilbertElliott {
    /// The share of frames lost in the long run.
    pub fn share(&self) -> f64 {
        let bad = self.to_bad / (self.to_bad + self.to_good).max(f64::MIN_POSITIVE);
        bad * self.loss_bad + (1.0 - bad) * self.loss_good
    }
}

impl Loss {
    /// Each frame is lost with this probability, whatever became of the others.
    pub fn random(share: f64) -> Loss {
        if share > 0.0 { Loss::Random { share, burst: 1 } } else { Loss::None }
    }
}

/// A model in motion.
#[derive(Debug)]
pub(super) struct Losses {
    model: Loss,
    /// Frames still to be lost of the burst under way.
    left: u64,
    bad: bool,
}

impl Losses {
    pub(super) fn new(model: Loss) -> Losses {
        Losses { model, left: 0, bad: false }
    }

    /// Whether the next frame is lost.
    pub(super) fn loses(&mut self, rng: &mut Rng) -> bool {
        match self.model {
            Loss::None => false,
            Loss::Random { .. } if self.left > 0 => {
                self.left -= 1;
                true
            }
            Loss::Random { share, burst } => {
                // Bursts start so much less often that the share of lost frames stays what was asked for.
                let burst = burst.max(1);
                let start = rng.chance(1.0 / (burst as f64 / share - (burst - 1) as f64));
                self.left = if start { burst - 1 } else { 0 };
                start
            }
            Loss::GilbertElliott(ge) => {
                let change = if self.bad { ge.to_good } else { ge.to_bad };
                self.bad ^= rng.chance(change);
                rng.chance(if self.bad { ge.loss_bad } else { ge.loss_good })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the runs of lost frames among so many.
    fn runs(model: Loss, frames: usize) -> Vec<usize> {
        let (mut losses, mut rng) = (Losses::new(model), Rng::new(3));
        let lost: Vec<bool> = (0..frames).map(|_| losses.loses(&mut rng)).collect();
        lost.chunk_by(|a, b| a == b).filter(|run| run[0]).map(<[bool]>::len).collect()
    }

    #[test]
    fn the_share_stays_when_losses_come_in_bursts() {
        for burst in [1, 4] {
            let runs = runs(Loss::Random { share: 0.1, burst }, 100_000);
            let lost: usize = runs.iter().sum();
            assert!((9_500..10_500).contains(&lost), "{lost}");
            assert!(runs.iter().all(|&run| run >= burst as usize));
        }
        assert!(runs(Loss::None, 1_000).is_empty());
    }

    #[test]
    fn gilbert_elliott_loses_the_share_of_its_formula_in_runs_of_its_length() {
        // Gilbert's simpler case: everything is lost in the bad state, nothing in the good one.
        let model = GilbertElliott { to_bad: 0.01, to_good: 0.25, loss_good: 0.0, loss_bad: 1.0 };
        let runs_of = runs(Loss::GilbertElliott(model), 400_000);
        let lost: usize = runs_of.iter().sum();
        let mean = lost as f64 / runs_of.len() as f64;
        assert!((model.share() - 0.01 / 0.26).abs() < 1e-12);
        assert!((lost as f64 / 400_000.0 / model.share() - 1.0).abs() < 0.05, "{lost}");
        assert!((mean - 4.0).abs() < 0.2, "mean run of {mean}");

        let both = GilbertElliott { loss_good: 0.01, loss_bad: 0.5, ..model };
        let lost: usize = runs(Loss::GilbertElliott(both), 400_000).iter().sum();
        assert!((both.share() - (0.5 + 0.25) / 26.0).abs() < 1e-12);
        assert!((lost as f64 / 400_000.0 / both.share() - 1.0).abs() < 0.05, "{lost}");
    }
}
