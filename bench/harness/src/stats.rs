//! The middle of a few runs, how far they spread, and ratios of neighbours.

use live::quantile::quantile;
use serde::Serialize;

/// Values of several runs.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) runs: usize,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of no value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Spread {
            runs: sorted.len(),
            median: quantile(&sorted, 0.5)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }
}

/// What one contestant reached in one round.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Reached {
    pub(crate) round: u32,
    pub(crate) value: f64,
}

/// Quotients of ours and theirs, of the same round each: what ran side by side saw the same machine.
pub(crate) fn ratios<'a>(ours: &'a [Reached], theirs: &'a [Reached]) -> impl Iterator<Item = f64> + 'a {
    ours.iter().filter_map(|our| {
        let their = theirs.iter().find(|their| their.round == our.round)?;
        (their.value != 0.0).then_some(our.value / their.value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(values: &[(u32, f64)]) -> Vec<Reached> {
        values.iter().map(|&(round, value)| Reached { round, value }).collect()
    }

    #[test]
    fn a_spread_has_the_middle_and_both_ends() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[5.0, 1.0, 3.0]), Some(Spread { runs: 3, median: 3.0, min: 1.0, max: 5.0 }));
        assert_eq!(of(&[4.0, 1.0]), Some(Spread { runs: 2, median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_ratio_is_of_runs_of_the_same_round() {
        let ours = reached(&[(1, 10.0), (2, 40.0), (4, 7.0)]);
        let theirs = reached(&[(2, 10.0), (1, 5.0), (3, 1.0), (4, 0.0)]);
        // Of medians it would be another one; and nothing is divided by nothing.
        assert_eq!(ratios(&ours, &theirs).collect::<Vec<_>>(), [2.0, 4.0]);
        assert_eq!(ratios(&ours, &[]).count(), 0);
    }
}
