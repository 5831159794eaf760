//! iperf3, as many know it: the kernel's sockets with its defaults around them.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::Setting;
use super::kernel::wire::{RECEIVER, Wire, WireArgs};
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::needs::IPERF3;

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(20);

/// iperf3 over a veth pair
#[derive(Args, Debug)]
pub(crate) struct Iperf3Args {
    #[command(flatten)]
    wire: WireArgs,
    /// Bytes of a write
    #[arg(long, default_value_t = 131_072)]
    size: usize,
    /// Connections
    #[arg(long, default_value_t = 1)]
    connections: usize,
}

/// What of iperf3's report is read.
#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    start: Option<Start>,
    #[serde(default)]
    end: Option<End>,
}

#[derive(Deserialize)]
struct Start {
    version: String,
}

#[derive(Deserialize)]
struct End {
    sum_received: Sum,
    cpu_utilization_percent: Cpu,
}

#[derive(Deserialize)]
struct Sum {
    bytes: u64,
    seconds: f64,
}

#[derive(Deserialize)]
struct Cpu {
    host_total: f64,
    remote_total: f64,
}

/// Runs a server and a client.
pub(crate) fn run(setting: &Setting, args: &Iperf3Args) -> Result<Line, Failure> {
    let program =
        IPERF3.find().ok_or_else(|| Failure::new("iperf3 is not installed").mend(IPERF3.install))?;
    let program = program.to_string_lossy();
    let wire = Wire::new(setting, &args.wire)?;
    let serve = format!("-s -1 --forceflush -A {}", setting.receiver_cpu);
    let server = wire.sink.start(&program, &serve)?;
    while !server.line(PATIENCE, || Ok(()))?.contains("listening") {}
    // It takes whole seconds only.
    let send = format!(
        "-c {} -t {} -l {} -P {} -A {} -C cubic -J",
        RECEIVER.ip(),
        setting.time.ceil(),
        args.size,
        args.connections,
        setting.sender_cpu
    );
    let client = wire.source.start(&program, &send)?;
    let said = client.rest(Duration::from_secs_f64(setting.time) + PATIENCE)?;
    Ok(figures(&said)?
        .command(format!("iperf3 {serve}"))
        .command(format!("iperf3 {send}"))
        .note(args.wire.note(setting)))
}

fn figures(said: &str) -> Result<Line, Failure> {
    let report: Report = serde_json::from_str(said)
        .map_err(|error| Failure::new(format!("iperf3 printed no report ({error}): {said}")))?;
    if let Some(error) = report.error {
        return Err(Failure::new(format!("iperf3: {error}")));
    }
    let end = report.end.ok_or_else(|| Failure::new("iperf3 reports no end"))?;
    let Sum { bytes, seconds } = end.sum_received;
    let busy = end.cpu_utilization_percent.host_total / 100.0 * seconds;
    let version = report.start.map_or_else(|| "iperf3".into(), |start| start.version);
    Ok(Line::new(Medium::Veth)
        .bulk(bytes, seconds, busy)
        .figure("sender_cpu", end.cpu_utilization_percent.host_total, Unit::Percent)
        .figure("receiver_cpu", end.cpu_utilization_percent.remote_total, Unit::Percent)
        .note(format!("{version}; CPU use as it reports it.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_figures_by_cpu_seconds() {
        let said = r#"{"start":{"version":"iperf 3.12","other":1},
            "end":{"sum_received":{"bytes":1000000000,"seconds":2.0,"bits_per_second":4e9},
                   "cpu_utilization_percent":{"host_total":50.0,"host_user":1,"remote_total":80.0}}}"#;
        let line = figures(said).expect("figures");
        assert_eq!(line.figures["goodput"].value, 4.0);
        assert_eq!(line.figures["per_busy_core"].value, 8.0);
        let refused = figures(r#"{"start":{},"end":{},"error":"unable to connect"}"#);
        assert!(refused.is_err());
        let why = figures(r#"{"error":"unable to connect"}"#).expect_err("an error").to_string();
        assert!(why.contains("iperf3: unable to connect"), "{why}");
    }
}
