//! The simulator's only source of chance: small, fast, the same on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): every seed is good, and streams split by jumping to a hashed seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// An independent stream, so that one part's draws do not shift another's.
    #[must_use]
    pub fn fork(&mut self) -> Rng {
        Rng(self.next() ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next 64 random bits.
    #[allow(clippy::should_implement_trait)] // an iterator this is not: it never ends
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`, each as likely as the next; `low` when the range is empty.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low);
        if span == u64::MAX {
            return self.next();
        }
        // The bias of the multiplication is below 2^-32 for every span used here.
        low + ((u128::from(self.next()) * u128::from(span + 1)) >> 64) as u64
    }

    /// A number in `low..=high` whose logarithm is even: as many draws between 1 and 10 as between 10 and 100.
    pub fn log_range(&mut self, low: u64, high: u64) -> u64 {
        let (a, b) = ((low.max(1) as f64).ln(), (high.max(1) as f64).ln());
        let draw = (a + (b - a) * self.unit()).exp() as u64;
        draw.clamp(low, high)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && self.unit() < p
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.range(0, choices.len() as u64 - 1) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_inside_their_ranges_and_reach_both_ends() {
        let mut rng = Rng::new(7);
        let (mut low, mut high) = (false, false);
        for _ in 0..1_000 {
            let draw = rng.range(3, 9);
            assert!((3..=9).contains(&draw));
            low |= draw == 3;
            high |= draw == 9;
            assert!((10..=10_000).contains(&rng.log_range(10, 10_000)));
            assert!((0.0..1.0).contains(&rng.unit()));
        }
        assert!(low && high);
        assert_eq!(rng.range(5, 5), 5);
        assert!(!rng.chance(0.0));
        assert!(rng.chance(1.0));
    }

    #[test]
    fn a_seed_always_gives_the_same_stream() {
        let draws = |seed| {
            let mut rng = Rng::new(seed);
            let mut fork = rng.fork();
            [rng.next(), fork.next(), rng.next()]
        };
        assert_eq!(draws(42), draws(42));
        assert_ne!(draws(42), draws(43));
    }
}
