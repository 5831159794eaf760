//! How evenly something is shared.

/// Jain's index of fairness: (Σx)² / (n·Σx²). 1 when all have the same, 1/n when one has everything; 1 for nobody.
pub fn fairness(shares: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for share in shares {
        n += 1.0;
        sum += share;
        squares += share * share;
    }
    if squares > 0.0 { sum * sum / (n * squares) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jains_index_of_the_even_and_of_the_greedy() {
        assert_eq!(fairness([5.0; 4].into_iter()), 1.0);
        assert_eq!(fairness([8.0, 0.0, 0.0, 0.0].into_iter()), 0.25);
        assert_eq!(fairness([3.0, 1.0].into_iter()), 0.8);
        assert_eq!(fairness(std::iter::empty()), 1.0);
    }
}
