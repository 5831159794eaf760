//! `--bitrate`: the rate of the whole run, shared by its connections, each paced at its part (`S25`).

use std::time::Duration;

use tsonami::{Config, Nanos, Rate};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::connection::SLOWEST_RATE;
use crate::units::BitRate;

/// How much is written ahead of what is paced: what is in the send buffer when the time is up has yet to be sent.
const AHEAD: Duration = Duration::from_millis(50);
/// The least that is written ahead, bytes: two segments on Ethernet, the shortest burst that is paced. At a low rate any
/// more takes seconds beyond the time of the run.
const LEAST_AHEAD: usize = 2 * 1460;

/// Paces each of `parallel` connections at its share of `total`.
pub(crate) fn share(config: &mut Config, total: BitRate, parallel: u32) -> Result<(), Failure> {
    let each = total.0 / u64::from(parallel.max(1));
    if each < SLOWEST_RATE {
        let what = format!(
            "{each} bit/s for each of {parallel} connections is too slow: {SLOWEST_RATE} bit/s at least"
        );
        let enough = SLOWEST_RATE * u64::from(parallel);
        return Err(Failure::new(Exit::Usage, what).mend(format!("--bitrate {enough}")));
    }
    let options = &mut config.connection;
    let rate = options.max_pacing_rate.map_or(each, |cap| cap.min(each));
    options.max_pacing_rate = Some(rate);
    let ahead = usize::try_from(Rate::from_bps(rate).bytes_in(Nanos::from(AHEAD))).unwrap_or(usize::MAX);
    options.notsent_lowat.get_or_insert(ahead.max(LEAST_AHEAD));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(total: u64, parallel: u32, change: impl Fn(&mut Config)) -> Result<(u64, usize), Failure> {
        let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
        change(&mut config);
        share(&mut config, BitRate(total), parallel)?;
        Ok((config.connection.max_pacing_rate.unwrap(), config.connection.notsent_lowat.unwrap()))
    }

    #[test]
    fn s25_the_rate_is_shared_by_the_connections() {
        assert_eq!(shared(10_000_000, 1, |_| ()).unwrap(), (10_000_000, 62_500));
        assert_eq!(shared(10_000_000, 4, |_| ()).unwrap(), (2_500_000, 15_625));
        assert_eq!(shared(16_000, 1, |_| ()).unwrap(), (16_000, LEAST_AHEAD));
        let failure = shared(10_000, 2, |_| ()).unwrap_err();
        assert!(failure.what.contains("5000 bit/s for each of 2"), "{failure}");
    }

    #[test]
    fn what_connections_were_told_themselves_stands() {
        let told = |config: &mut Config| {
            config.connection.max_pacing_rate = Some(1_000_000);
            config.connection.notsent_lowat = Some(1);
        };
        assert_eq!(shared(10_000_000, 2, told).unwrap(), (1_000_000, 1));
        assert_eq!(shared(1_000_000, 2, told).unwrap(), (500_000, 1));
    }
}
