//! A path in a scenario file.

use std::time::Duration;

use serde::Deserialize;
use sim::{
    CodelConfig, CrossTraffic, Discipline, FallBack, FqCodelConfig, GilbertElliott, LinkConfig, Loss,
    QueueConfig, RedConfig, Reorder, RouteChange, Thinning, transmission_time,
};
use tcp::{Nanos, Time};

use super::text::{Bits, Bytes, Fault, share};

/// One direction.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PathTable {
    /// Of the bottleneck; the return path takes the other's.
    pub(super) rate: Option<Bits>,
    #[serde(default, with = "humantime_serde")]
    pub(super) delay: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    jitter: Option<Duration>,
    #[serde(default)]
    queue: QueueTable,
    loss: Option<LossTable>,
    reorder: Option<ReorderTable>,
    #[serde(default)]
    duplicate: f64,
    #[serde(default)]
    corrupt: f64,
    mtu: Option<u16>,
    icmp: Option<bool>,
    #[serde(default)]
    thin_acks: bool,
    outage: Option<OutageTable>,
    cross: Option<CrossTable>,
    #[serde(default)]
    change: Vec<ChangeTable>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Name {
    #[default]
    TailDrop,
    Codel,
    FqCodel,
    Red,
    Step,
}

#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct QueueTable {
    discipline: Name,
    bytes: Option<Bytes>,
    frames: Option<usize>,
    ecn: Option<bool>,
    #[serde(with = "humantime_serde")]
    target: Option<Duration>,
    #[serde(with = "humantime_serde")]
    interval: Option<Duration>,
    flows: Option<usize>,
    quantum: Option<usize>,
    min: Option<Bytes>,
    max: Option<Bytes>,
    probability: Option<f64>,
    weight: Option<f64>,
    threshold: Option<Bytes>,
}

#[derive(Copy, Clone, PartialEq, Debug, Deserialize)]
#[serde(untagged, expecting = "either share (and burst), or to_bad and to_good (and loss_good, loss_bad)")]
enum LossTable {
    Random(RandomTable),
    GilbertElliott(GilbertElliottTable),
}

#[derive(Copy, Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RandomTable {
    share: f64,
    burst: Option<u64>,
}

#[derive(Copy, Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GilbertElliottTable {
    to_bad: f64,
    to_good: f64,
    #[serde(default)]
    loss_good: f64,
    loss_bad: Option<f64>,
}

#[derive(Copy, Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReorderTable {
    share: f64,
    #[serde(default, with = "humantime_serde")]
    time: Option<Duration>,
    frames: Option<u32>,
    #[serde(default, with = "humantime_serde")]
    patience: Option<Duration>,
}

#[derive(Copy, Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutageTable {
    #[serde(with = "humantime_serde")]
    from: Duration,
    #[serde(with = "humantime_serde")]
    to: Duration,
}

#[derive(Copy, Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CrossTable {
    rate: Bits,
    frame: Option<usize>,
    #[serde(default, with = "humantime_serde")]
    on: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    off: Option<Duration>,
}

#[derive(Copy, Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeTable {
    #[serde(with = "humantime_serde")]
    at: Duration,
    rate: Option<Bits>,
    #[serde(default, with = "humantime_serde")]
    delay: Option<Duration>,
    mtu: Option<u16>,
}

impl PathTable {
    /// The link it describes; `other` is the path there, of which the path back takes what it does not say.
    pub(super) fn config(&self, name: &str, other: Option<&PathTable>) -> Result<LinkConfig, Fault> {
        let key = |key: &str| format!("{name}.{key}");
        let rate = self.rate.or(other.and_then(|other| other.rate));
        let rate = rate.ok_or_else(|| Fault::new(&key("rate"), "is missing", "rate = \"20M\""))?.0;
        let delay = self.delay.or(other.and_then(|other| other.delay)).unwrap_or_default();
        if self.change.iter().any(|change| change.mtu.is_some_and(|mtu| mtu < 576))
            || self.mtu.is_some_and(|mtu| mtu < 576)
        {
            return Err(Fault::new(&key("mtu"), "is below 576", "mtu = 1280"));
        }
        let mut changes: Vec<RouteChange> = self.change.iter().map(ChangeTable::change).collect();
        changes.sort_by_key(|change| change.at);
        Ok(LinkConfig {
            rate,
            delay: delay.into(),
            jitter: self.jitter.unwrap_or_default().into(),
            queue: self.queue.config(&key("queue"), rate)?,
            loss: self.loss.map_or(Ok(Loss::None), |loss| loss.config(&key("loss")))?,
            reorder: self
                .reorder
                .map(|reorder| reorder.config(&key("reorder")))
                .transpose()?
                .unwrap_or(LinkConfig::default().reorder),
            duplicate: share(&key("duplicate"), self.duplicate)?,
            duplicate_within: Nanos::from(delay) / 10,
            corrupt: share(&key("corrupt"), self.corrupt)?,
            outage: self.outage.map(|outage| (at(outage.from), at(outage.to))),
            mtu: self.mtu.unwrap_or(u16::MAX),
            icmp: self.icmp.unwrap_or(true),
            thinning: if self.thin_acks { Thinning::Filter } else { Thinning::None },
            cross: self.cross.map(|cross| cross.config(&key("cross"))).transpose()?,
            changes,
        })
    }
}

fn at(time: Duration) -> Time {
    Time::ZERO + time.into()
}

impl QueueTable {
    fn config(&self, key: &str, rate: u64) -> Result<QueueConfig, Fault> {
        use Name::{Codel, FqCodel, Red, Step, TailDrop};
        // A key that the discipline does not know would be without effect: that is an error.
        let keys: [(&str, bool, &[Name]); 10] = [
            ("ecn", self.ecn.is_some(), &[Codel, FqCodel, Red]),
            ("target", self.target.is_some(), &[Codel, FqCodel]),
            ("interval", self.interval.is_some(), &[Codel, FqCodel]),
            ("flows", self.flows.is_some(), &[FqCodel]),
            ("quantum", self.quantum.is_some(), &[FqCodel]),
            ("min", self.min.is_some(), &[Red]),
            ("max", self.max.is_some(), &[Red]),
            ("probability", self.probability.is_some(), &[Red]),
            ("weight", self.weight.is_some(), &[Red]),
            ("threshold", self.threshold.is_some(), &[Step]),
        ];
        for (name, given, disciplines) in keys {
            if given && !disciplines.contains(&self.discipline) {
                let known = disciplines.iter().map(|name| name.text()).collect::<Vec<_>>().join(", ");
                let what = format!("has no effect with {}", self.discipline.text());
                return Err(Fault::new(&format!("{key}.{name}"), &what, &format!("discipline: {known}")));
            }
        }
        let recommended = CodelConfig::default();
        let codel = CodelConfig {
            target: self.target.map_or(recommended.target, Nanos::from),
            interval: self.interval.map_or(recommended.interval, Nanos::from),
            ecn: self.ecn.unwrap_or(recommended.ecn),
        };
        let fq = FqCodelConfig::default();
        let bytes = self.bytes.map_or(usize::MAX, |bytes| bytes.0 as usize);
        let frames = self.frames.unwrap_or(if self.bytes.is_some() { usize::MAX } else { 1_000 });
        let discipline = match self.discipline {
            TailDrop => Discipline::TailDrop,
            Codel => Discipline::Codel(codel),
            FqCodel => Discipline::FqCodel(FqCodelConfig {
                codel,
                flows: self.flows.unwrap_or(fq.flows).clamp(1, 65_536),
                quantum: self.quantum.unwrap_or(fq.quantum).max(1),
            }),
            Red => {
                let (Some(min), Some(max)) = (self.min, self.max) else {
                    return Err(Fault::new(
                        key,
                        "needs min and max with red",
                        "min = \"15K\"\nmax = \"45K\"",
                    ));
                };
                if min.0 >= max.0 {
                    return Err(Fault::new(&format!("{key}.min"), "must be below max", "min = \"15K\""));
                }
                Discipline::Red(RedConfig {
                    min_threshold: min.0 as usize,
                    max_threshold: max.0 as usize,
                    max_probability: share(&format!("{key}.probability"), self.probability.unwrap_or(0.1))?,
                    weight: share(&format!("{key}.weight"), self.weight.unwrap_or(0.002))?,
                    frame_time: transmission_time(1_514, rate),
                    ecn: self.ecn.unwrap_or(true),
                })
            }
            Step => {
                let threshold = self.threshold.map(|threshold| threshold.0 as usize);
                let missing = || Fault::new(key, "needs threshold with step", "threshold = \"30K\"");
                Discipline::Step { threshold: threshold.ok_or_else(missing)? }
            }
        };
        Ok(QueueConfig { frames, bytes, discipline })
    }
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Name::TailDrop => "tail-drop",
            Name::Codel => "codel",
            Name::FqCodel => "fq-codel",
            Name::Red => "red",
            Name::Step => "step",
        }
    }
}

impl LossTable {
    fn config(self, key: &str) -> Result<Loss, Fault> {
        let share = |name: &str, value| share(&format!("{key}.{name}"), value);
        match self {
            LossTable::Random(random) => Ok(Loss::Random {
                share: share("share", random.share)?,
                burst: random.burst.unwrap_or(1).max(1),
            }),
            LossTable::GilbertElliott(ge) => Ok(Loss::GilbertElliott(GilbertElliott {
                to_bad: share("to_bad", ge.to_bad)?,
                to_good: share("to_good", ge.to_good)?,
                loss_good: share("loss_good", ge.loss_good)?,
                loss_bad: share("loss_bad", ge.loss_bad.unwrap_or(1.0))?,
            })),
        }
    }
}

impl ReorderTable {
    fn config(self, key: &str) -> Result<Reorder, Fault> {
        let by = match (self.time, self.frames, self.patience) {
            (Some(time), None, None) => FallBack::Time(time.into()),
            (None, Some(frames), patience) => {
                FallBack::Distance { frames, patience: patience.unwrap_or(Duration::from_millis(100)).into() }
            }
            _ => return Err(Fault::new(key, "needs time, or frames (and patience)", "frames = 3")),
        };
        Ok(Reorder { share: share(&format!("{key}.share"), self.share)?, by })
    }
}

impl CrossTable {
    fn config(self, key: &str) -> Result<CrossTraffic, Fault> {
        let frame = self.frame.unwrap_or(1_514);
        if !(64..=9_018).contains(&frame) {
            return Err(Fault::new(&format!("{key}.frame"), "is not within 64 and 9018", "frame = 1514"));
        }
        if self.on.is_some() != self.off.is_some() {
            return Err(Fault::new(
                key,
                "needs both on and off, or neither",
                "on = \"100ms\"\noff = \"400ms\"",
            ));
        }
        let on = self.on.unwrap_or(Duration::from_secs(1));
        if on.is_zero() {
            return Err(Fault::new(&format!("{key}.on"), "is zero", "on = \"100ms\""));
        }
        Ok(CrossTraffic { rate: self.rate.0, frame, on: on.into(), off: self.off.unwrap_or_default().into() })
    }
}

impl ChangeTable {
    fn change(&self) -> RouteChange {
        RouteChange {
            at: at(self.at),
            rate: self.rate.map(|rate| rate.0),
            delay: self.delay.map(Nanos::from),
            mtu: self.mtu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<LinkConfig, Fault> {
        let table: PathTable = toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        table.config("path", None)
    }

    #[test]
    fn a_key_without_effect_is_refused_with_where_it_has_one() {
        for (text, what, mend) in [
            ("delay = '1ms'", "path.rate is missing", "rate = \"20M\""),
            (
                "rate = 1\nqueue = { target = '5ms' }",
                "path.queue.target has no effect with tail-drop",
                "codel, fq-codel",
            ),
            ("rate = 1\nqueue = { discipline = 'red' }", "needs min and max", "min ="),
            ("rate = 1\nqueue = { discipline = 'red', min = 5, max = 5 }", "must be below max", "15K"),
            ("rate = 1\nqueue = { discipline = 'step' }", "needs threshold", "threshold ="),
            ("rate = 1\nloss = { share = 2.0 }", "path.loss.share is 2", "0.01"),
            ("rate = 1\nreorder = { share = 0.1 }", "needs time, or frames", "frames = 3"),
            ("rate = 1\ncross = { rate = 1, on = '1s' }", "both on and off", "off ="),
            ("rate = 1\nmtu = 100", "path.mtu is below 576", "1280"),
        ] {
            let fault = config(text).expect_err(text);
            assert!(
                fault.what.contains(what) && fault.mend.contains(mend),
                "{} / {}",
                fault.what,
                fault.mend
            );
        }
    }

    #[test]
    fn what_is_said_reaches_the_link() {
        let cfg = config(
            "rate = '8M'\ndelay = '20ms'\nqueue = { discipline = 'codel', bytes = '64K', ecn = false }\n\
             loss = { to_bad = 0.01, to_good = 0.5 }\nchange = [{ at = '2s', mtu = 1200 }, { at = '1s', delay = '5ms' }]",
        )
        .expect("fine");
        let codel = CodelConfig { ecn: false, ..CodelConfig::default() };
        assert_eq!(
            cfg.queue,
            QueueConfig { frames: usize::MAX, bytes: 65_536, discipline: Discipline::Codel(codel) }
        );
        assert_eq!((cfg.changes[0].delay, cfg.changes[1].mtu), (Some(Nanos::from_millis(5)), Some(1_200)));
        assert!(matches!(cfg.loss, Loss::GilbertElliott(ge) if ge.loss_bad == 1.0));
    }
}
