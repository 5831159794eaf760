//! Quantiles of a few values.

/// The `q`-quantile of sorted values, between neighbours as most programs take it (type 7 of Hyndman and Fan); `None` of none.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let place = q * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}
