//! Latencies: a histogram of all, and a log with one for each second.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder};
use serde::Serialize;
use tsonami::Nanos;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::Rtt;

/// Time between two histograms of the log.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest latency told apart, nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// A histogram of nanoseconds.
pub(super) fn histogram() -> Histogram<u64> {
    // Bounds that are constants and right.
    Histogram::new_with_bounds(1, LONGEST, 3).unwrap_or_else(|_| unreachable!())
}

/// What a log is written to.
pub(super) struct LogFile {
    out: BufWriter<File>,
    serializer: V2DeflateSerializer,
}

impl LogFile {
    /// The log of one of several workers, if there are to be logs: the first one's has the name, the others' have their number behind
    /// it.
    pub(super) fn of_worker(path: Option<&Path>, worker: u16) -> Result<Option<LogFile>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let mut name = path.as_os_str().to_owned();
        if worker > 0 {
            name.push(format!(".{worker}"));
        }
        LogFile::create(Path::new(&name)).map(Some)
    }

    pub(super) fn create(path: &Path) -> Result<LogFile, Failure> {
        let out = File::create(path)
            .map_err(|e| Failure::new(Exit::File, format!("cannot write '{}': {e}", path.display())))?;
        Ok(LogFile { out: BufWriter::new(out), serializer: V2DeflateSerializer::new() })
    }

    /// Begins the log.
    pub(super) fn begin(&mut self) -> Result<Log<'_>, Failure> {
        let now = SystemTime::now();
        let writer = IntervalLogWriterBuilder::new()
            .add_comment("[Latencies of requests, nanoseconds; written by tsonami]")
            .with_start_time(now)
            .with_base_time(now)
            .begin_log_with(&mut self.out, &mut self.serializer)
            .map_err(cannot_write)?;
        Ok(Log { writer, interval: histogram(), began: Duration::ZERO })
    }
}

fn cannot_write(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::File, format!("cannot write the log of latencies: {error}"))
}

/// An HdrHistogram log, one histogram for each second.
pub(super) struct Log<'a> {
    writer: IntervalLogWriter<'a, 'a, BufWriter<File>, V2DeflateSerializer>,
    interval: Histogram<u64>,
    began: Duration,
}

impl Log<'_> {
    fn record(&mut self, nanos: u64) {
        self.interval.saturating_record(nanos);
    }

    /// Writes what came since the last time, when that is a second ago, or when it is the end (`last`).
    fn write(&mut self, elapsed: Duration, last: bool) -> Result<(), Failure> {
        let length = elapsed.saturating_sub(self.began);
        let due = length >= INTERVAL || (last && !self.interval.is_empty());
        if !due {
            return Ok(());
        }
        self.writer
            .write_histogram(&self.interval, self.began, length, None)
            .map_err(|e| cannot_write(format!("{e:?}")))?;
        self.interval.reset();
        self.began = elapsed;
        Ok(())
    }
}

/// Latencies of one kind.
pub(super) struct Latencies<'a> {
    all: Histogram<u64>,
    log: Option<Log<'a>>,
}

impl<'a> Latencies<'a> {
    pub(super) fn new(log: Option<Log<'a>>) -> Latencies<'a> {
        Latencies { all: histogram(), log }
    }

    pub(super) fn record(&mut self, latency: Nanos) {
        self.all.saturating_record(latency.as_nanos());
        if let Some(log) = &mut self.log {
            log.record(latency.as_nanos());
        }
    }

    /// So much time has passed.
    pub(super) fn tick(&mut self, elapsed: Duration, last: bool) -> Result<(), Failure> {
        self.log.as_mut().map_or(Ok(()), |log| log.write(elapsed, last))
    }

    /// All of them.
    pub(super) fn into_all(self) -> Histogram<u64> {
        self.all
    }

    /// 99 of 100 were shorter, so far.
    pub(super) fn p99(&self) -> Duration {
        Duration::from_nanos(self.all.value_at_quantile(0.99))
    }
}

/// A distribution, microseconds. Its field names are keys of the JSON.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct LatencySummary {
    #[serde(flatten)]
    pub(crate) common: Rtt,
    pub(crate) mean_us: f64,
    pub(crate) p99_99_us: f64,
}

impl LatencySummary {
    pub(super) fn of(histogram: &Histogram<u64>) -> Option<LatencySummary> {
        Some(LatencySummary {
            common: Rtt::from_histogram(histogram)?,
            mean_us: histogram.mean() / 1e3,
            p99_99_us: histogram.value_at_quantile(0.9999) as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    #[test]
    fn the_log_is_one_that_other_tools_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latency.hlog");
        let mut file = LogFile::create(&path).unwrap();
        let mut latencies = Latencies::new(Some(file.begin().unwrap()));
        for us in 1..=1000 {
            latencies.record(Nanos::from_micros(us));
        }
        latencies.tick(Duration::from_millis(400), false).unwrap();
        latencies.tick(Duration::from_millis(1100), false).unwrap();
        latencies.record(Nanos::from_micros(7));
        latencies.tick(Duration::from_millis(1300), true).unwrap();
        let summary = LatencySummary::of(&latencies.all).unwrap();
        assert_eq!(summary.common.samples, 1001);
        assert!((summary.common.p50_us - 500.0).abs() < 1.0 && (summary.common.max_us - 1000.0).abs() < 1.0);
        drop(latencies);
        drop(file);
        let text = std::fs::read(&path).unwrap();
        let mut intervals = Vec::new();
        for entry in IntervalLogIterator::new(&text) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let bytes =
                    base64::Engine::decode(&base64::prelude::BASE64_STANDARD, interval.encoded_histogram())
                        .unwrap();
                let histogram: Histogram<u64> =
                    Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                intervals.push((interval.start_timestamp(), interval.duration(), histogram.len()));
            }
        }
        let ms = Duration::from_millis;
        assert_eq!(intervals, [(ms(0), ms(1100), 1000), (ms(1100), ms(200), 1)]);
    }

    #[test]
    fn of_nothing_there_is_no_summary() {
        assert_eq!(LatencySummary::of(&Latencies::new(None).into_all()), None);
    }
}
