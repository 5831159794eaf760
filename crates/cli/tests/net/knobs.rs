//! Every knob of connections that `tsonami send` has does something that can be seen: in the JSON or in a capture, over a
//! TAP, with and without it. One that has no row here fails the test.

use std::collections::BTreeSet;

use etherparse::TcpOptionElement;
use serde_json::Value;

use crate::frames::{self, Frame};
use crate::lab::{Lab, PATIENCE};

/// Groups of the help whose options are not about connections.
const OTHER_GROUPS: [&str; 6] = [
    "Options",
    "What to send",
    "Device and addresses",
    "Memory, rings and cores",
    "Output",
    "Looking closer",
];

/// Runs at the same time: most of one is waiting.
const AT_ONCE: usize = 8;

/// Who is at the other end.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Peer {
    /// Nobody. Runs are sorted: those that wait longest begin first.
    Silent,
    /// Reads everything, at a distance of 400 ms; its ACKs are 200 us apart.
    Distant,
    /// Reads everything: `tsonami serve` at the other end of a ring in shared memory.
    OverSharedMemory,
    /// Reads everything.
    Reads,
    /// Takes the connection; payload of more than some bytes never reaches its TCP.
    LosesPayload,
    /// Takes the connection, and neither reads nor closes.
    StaysOpen,
}

/// One run.
struct Run {
    json: Value,
    frames: Vec<Frame>,
}

/// One knob.
struct Row {
    option: &'static str,
    peer: Peer,
    /// The words of both runs.
    common: &'static str,
    /// What the second run is told besides.
    with: &'static str,
    /// A figure of a run.
    figure: fn(&Run) -> u64,
    /// Whether the figures, first without and then with the option, show its effect.
    shows: fn(u64, u64) -> bool,
}

const ROWS: &[Row] = &[
    Row {
        option: "length",
        peer: Peer::Reads,
        common: "-n 20K --no-delay",
        with: "--length 100",
        figure: short_frames,
        shows: |without, with| without <= 1 && with > 2,
    },
    Row {
        option: "zerocopy",
        peer: Peer::Reads,
        common: "-n 20K",
        with: "--zerocopy",
        figure: |run| run.json["counters"]["copied_bytes"].as_u64().expect("a number"),
        shows: |without, with| without == 20 << 10 && with == 0,
    },
    Row {
        option: "no-delay",
        peer: Peer::LosesPayload,
        // 64 writes to a turn of the loop: three turns, the last with the FIN, for which Nagle makes way.
        common: "-n 14000 --length 100 --user-timeout 150ms --no-tail-loss-probe",
        with: "--no-delay",
        figure: short_frames,
        shows: |without, with| without == 2 && with == 3,
    },
    Row {
        option: "cork",
        peer: Peer::Reads,
        common: "-n 20K --length 100 --no-delay",
        with: "--cork",
        figure: short_frames,
        shows: |without, with| without > 2 && with <= 1,
    },
    Row {
        option: "eor",
        peer: Peer::Reads,
        common: "-n 20K --length 1000",
        with: "--eor",
        figure: short_frames,
        shows: |without, with| without <= 3 && with >= 20,
    },
    Row {
        option: "no-autocork",
        // Over a TAP every frame has left when the device has taken it. This one keeps frames until it is used again, and
        // is told that its link is slow: only an ACK says that a burst has left, and most come after the next writes.
        peer: Peer::OverSharedMemory,
        common: "-n 10M --length 100 --no-delay --link-rate 10k",
        with: "--no-autocork",
        figure: |run| stat(run, "autocorks"),
        shows: |without, with| without > 0 && with == 0,
    },
    Row {
        option: "mss",
        peer: Peer::Reads,
        common: "-n 20K",
        with: "--mss 500",
        figure: |run| run.json["connections"][0]["mss_bytes"].as_u64().expect("a number"),
        // Timestamps take 12 of them.
        shows: |without, with| without > 1_400 && with == 488,
    },
    Row {
        option: "mtu-probing",
        peer: Peer::Reads,
        common: "-n 200K",
        with: "--mtu-probing on",
        figure: |run| stat(run, "mtu_probes"),
        shows: |without, with| without == 0 && with >= 1,
    },
    Row {
        option: "send-buffer",
        peer: Peer::LosesPayload,
        common: "-n 100K --user-timeout 300ms --initial-window 20",
        with: "--send-buffer 8K",
        figure: sent_bytes,
        shows: |without, with| without > 8 << 10 && with <= 8 << 10 && with > 0,
    },
    Row {
        option: "timeout",
        peer: Peer::Silent,
        common: "--initial-rto 200ms",
        with: "--timeout 500ms",
        figure: syns,
        // At 0 and 200 ms, but not at 600 ms and so on for 10 s.
        shows: |without, with| without >= 3 && (1..=2).contains(&with),
    },
    Row {
        option: "connect-timeout",
        peer: Peer::Silent,
        common: "--timeout 1500ms --initial-rto 200ms",
        with: "--connect-timeout 500ms",
        figure: syns,
        shows: |without, with| without >= 3 && (1..=2).contains(&with),
    },
    Row {
        option: "user-timeout",
        peer: Peer::LosesPayload,
        common: "-n 1K --timeout 1500ms --no-tail-loss-probe",
        with: "--user-timeout 500ms",
        figure: |run| run.json["retransmitted_segments"].as_u64().expect("a number"),
        // At 200 ms, but not at 600 ms.
        shows: |without, with| without >= 2 && with <= 1,
    },
    Row {
        option: "initial-rto",
        peer: Peer::Silent,
        common: "--timeout 1500ms",
        with: "--initial-rto 200ms",
        figure: syns,
        // At 0 and 1000 ms; at 0, 200, 600 and 1400 ms. Counts, for a busy machine looks at the clock late.
        shows: |without, with| without <= 2 && with >= 3,
    },
    Row {
        option: "min-rto",
        peer: Peer::LosesPayload,
        common: "-n 1K --timeout 1500ms --no-tail-loss-probe",
        with: "--min-rto 700ms",
        figure: |run| run.json["retransmitted_segments"].as_u64().expect("a number"),
        // At 200, 600 and 1400 ms; at 700 ms.
        shows: |without, with| without >= 2 && with <= 1,
    },
    Row {
        option: "max-rto",
        peer: Peer::Silent,
        common: "--timeout 3s --initial-rto 200ms",
        with: "--max-rto 250ms",
        figure: syns,
        // At 0, 200, 600 and 1400 ms; at 0, 200, 450, 700 ms and so on, twelve in all.
        shows: |without, with| without <= 4 && with >= 6,
    },
    Row {
        option: "initial-window",
        peer: Peer::LosesPayload,
        common: "-n 100K --user-timeout 150ms --no-tail-loss-probe",
        with: "--initial-window 2",
        figure: sent_bytes,
        shows: |without, with| without > 13_000 && (2_000..3_000).contains(&with),
    },
    Row {
        option: "no-tail-loss-probe",
        peer: Peer::LosesPayload,
        // A probe is due after two round trips, which on a busy machine are long.
        common: "-n 100K --user-timeout 1500ms",
        with: "--no-tail-loss-probe",
        figure: |run| stat(run, "tail_probes"),
        shows: |without, with| without == 1 && with == 0,
    },
    Row {
        option: "send-buffer-max",
        peer: Peer::Reads,
        common: "-n 20K",
        with: "--send-buffer-max 64K",
        figure: |run| stat(run, "send_buffer_bytes"),
        shows: |without, with| without >= 128 << 10 && with == 64 << 10,
    },
    Row {
        option: "notsent-lowat",
        peer: Peer::LosesPayload,
        common: "-n 60K --length 1000 --user-timeout 150ms",
        with: "--notsent-lowat 4K",
        figure: |run| run.json["accepted_bytes"].as_u64().expect("a number"),
        // Ten segments leave; the rest is kept, or not taken.
        shows: |without, with| without == 60 << 10 && (10_000..25_000).contains(&with),
    },
    Row {
        option: "keepalive",
        peer: Peer::StaysOpen,
        common: "-n 1K --timeout 500ms",
        with: "--keepalive 100ms,100ms",
        figure: |run| stat(run, "keepalive_probes"),
        shows: |without, with| without == 0 && with > 2,
    },
    Row {
        option: "user-timeout-option",
        peer: Peer::Reads,
        common: "-n 20K",
        with: "--user-timeout-option announce",
        // The SYN, and the first segment after it: kind 28, four bytes, ten seconds.
        figure: |run| {
            let ours = run.frames.iter().filter(|frame| frame.ours);
            ours.filter(|frame| frame.raw_options.ends_with(&[28, 4, 0, 10])).count() as u64
        },
        shows: |without, with| without == 0 && with == 2,
    },
    Row {
        option: "congestion",
        peer: Peer::Reads,
        common: "-n 20K",
        with: "--congestion fixed:1G",
        // What each controller does is shown by the protocol's tests; here, that the connection has the one that was asked for.
        figure: |run| stat(run, "pacing_bits_per_second"),
        shows: |without, with| without == 0 && with == 1_000_000_000,
    },
    Row {
        option: "pacing",
        peer: Peer::Reads,
        common: "-n 20K",
        with: "--pacing",
        figure: |run| stat(run, "pacing_bits_per_second"),
        shows: |without, with| without == 0 && with > 0,
    },
    Row {
        option: "max-pacing-rate",
        peer: Peer::Reads,
        common: "-n 40K",
        with: "--max-pacing-rate 1M",
        figure: |run| run.json["time"]["pacing_ns"].as_u64().expect("a number") / 1_000_000,
        // 40 KiB less the first burst and the last, of two segments each.
        shows: |without, with| without == 0 && with >= 200,
    },
    Row {
        option: "autosize",
        // A burst takes an eighth of a round trip at most.
        peer: Peer::Distant,
        common: "-n 200K --max-pacing-rate 8M --initial-window 100",
        with: "--autosize 50ms",
        figure: |run| stat(run, "bursts"),
        // 2896 bytes each, or up to 50 000; a loop that comes late makes them longer, one that stands still has them repeated.
        shows: |without, with| with * 2 < without,
    },
    Row {
        option: "no-tso-defer",
        // ACKs of a full window arrive one by one: each but the first has another shortly before it.
        peer: Peer::Distant,
        common: "-n 8M --initial-window 100",
        with: "--no-tso-defer",
        figure: |run| stat(run, "deferred_bursts"),
        shows: |without, with| without > 0 && with == 0,
    },
    Row {
        option: "no-idle-restart",
        peer: Peer::Reads,
        // Two segments at a time, with a tenth of a second between them.
        common: "-n 12K --max-pacing-rate 200K --min-rto 1ms --initial-window 1",
        with: "--no-idle-restart",
        figure: |run| stat(run, "idle_restarts"),
        shows: |without, with| without > 0 && with == 0,
    },
    Row {
        option: "ecn",
        peer: Peer::Reads,
        // Linux agrees when it is asked, unless told otherwise.
        common: "-n 20K",
        with: "--ecn on",
        figure: |run| u64::from(run.json["connections"][0]["stats"]["ecn"].as_bool().expect("a fact")),
        shows: |without, with| without == 0 && with == 1,
    },
    Row {
        option: "no-timestamps",
        peer: Peer::Reads,
        common: "-n 20K",
        with: "--no-timestamps",
        figure: |run| offered(run, |option| matches!(option, TcpOptionElement::Timestamp(..))),
        shows: |without, with| without == 1 && with == 0,
    },
    Row {
        option: "no-sack",
        peer: Peer::Reads,
        common: "-n 20K",
        with: "--no-sack",
        figure: |run| {
            offered(run, |option| matches!(option, TcpOptionElement::SelectiveAcknowledgementPermitted))
        },
        shows: |without, with| without == 1 && with == 0,
    },
    Row {
        option: "no-window-scale",
        peer: Peer::Reads,
        common: "-n 20K",
        with: "--no-window-scale",
        figure: |run| offered(run, |option| matches!(option, TcpOptionElement::WindowScale(_))),
        shows: |without, with| without == 1 && with == 0,
    },
];

/// Frames of ours whose payload is no multiple of the MSS.
fn short_frames(run: &Run) -> u64 {
    let mss = run.json["connections"][0]["mss_bytes"].as_u64().expect("a number") as usize;
    ours(run).filter(|frame| !frame.len.is_multiple_of(mss)).count() as u64
}

/// A count or gauge of the connection.
fn stat(run: &Run, name: &str) -> u64 {
    run.json["connections"][0]["stats"][name].as_u64().unwrap_or(0)
}

/// Bytes of the stream that left, counted once.
fn sent_bytes(run: &Run) -> u64 {
    ours(run).map(|frame| u64::from(frame.seq) - 1 + frame.len as u64).max().unwrap_or(0)
}

fn ours(run: &Run) -> impl Iterator<Item = &Frame> {
    run.frames.iter().filter(|frame| frame.ours && frame.len > 0)
}

fn syns(run: &Run) -> u64 {
    run.frames.iter().filter(|frame| frame.ours && frame.syn).count() as u64
}

/// 1 when the SYN has such an option.
fn offered(run: &Run, which: fn(&TcpOptionElement) -> bool) -> u64 {
    let syn = run.frames.iter().find(|frame| frame.ours && frame.syn).expect("a SYN");
    u64::from(syn.options.iter().any(which))
}

/// The knobs that the help shows.
fn knobs(lab: &Lab) -> BTreeSet<String> {
    let help = lab.run(&format!("{} send --help", env!("CARGO_BIN_EXE_tsonami")));
    let (mut group, mut found) = (String::new(), BTreeSet::new());
    for line in help.lines() {
        if !line.starts_with(' ') && line.ends_with(':') {
            group = line.trim_end_matches(':').to_owned();
        }
        let option = line.trim_start();
        if line.len() - option.len() <= 6
            && option.starts_with('-')
            && !OTHER_GROUPS.contains(&group.as_str())
            && let Some((_, name)) = option.split_once("--")
        {
            found.insert(name.split(' ').next().unwrap_or_default().to_owned());
        }
    }
    found
}

#[test]
fn every_knob_that_the_help_shows_has_a_row() {
    let lab = Lab::new();
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.option.to_owned()).collect();
    assert_eq!(rows.len(), ROWS.len(), "a row twice");
    assert_eq!(rows, knobs(&lab));
}

#[test]
fn every_knob_changes_what_can_be_seen() {
    let lab = Lab::new();
    let _reads = lab.receiver_at("plain", 5001, 1_000);
    let _loses = lab.receiver_at("hole", 5002, 1_000);
    let _stays = lab.receiver_at("deaf", 5003, 1_000);
    let _distant = lab.distant(400, 200);
    // Rows that start from the same run share it.
    let mut runs: Vec<(Peer, String)> = ROWS
        .iter()
        .flat_map(|row| {
            [row.common.to_owned(), format!("{} {}", row.common, row.with)].map(|w| (row.peer, w))
        })
        .collect();
    runs.sort();
    runs.dedup();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results: Vec<std::sync::Mutex<Option<Run>>> = runs.iter().map(|_| Default::default()).collect();
    std::thread::scope(|threads| {
        for slot in 0..AT_ONCE {
            let (lab, runs, results, next) = (&lab, &runs, &results, &next);
            threads.spawn(move || {
                while let Some((index, (peer, words))) = {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    runs.get(index).map(|run| (index, run))
                } {
                    *results[index].lock().expect("nobody panicked") =
                        Some(run(lab, slot, index, *peer, words));
                }
            });
        }
    });
    let results: Vec<Run> = results
        .into_iter()
        .map(|run| run.into_inner().expect("nobody panicked").expect("every run was made"))
        .collect();
    let figure = |row: &Row, words: String| {
        let index = runs.iter().position(|run| *run == (row.peer, words.clone())).expect("it was made");
        (row.figure)(&results[index])
    };
    let mut failed = Vec::new();
    for row in ROWS {
        let without = figure(row, row.common.to_owned());
        let with = figure(row, format!("{} {}", row.common, row.with));
        if !(row.shows)(without, with) {
            failed.push(format!(
                "--{}: {without} with '{}', {with} with '{}' besides",
                row.option, row.common, row.with
            ));
        }
    }
    assert!(failed.is_empty(), "no effect is seen:\n{}", failed.join("\n"));
}

/// Sends over the TAP of this slot.
fn run(lab: &Lab, slot: usize, index: usize, peer: Peer, words: &str) -> Run {
    let kernel = format!("10.78.{slot}.1");
    let to = match peer {
        Peer::Reads | Peer::OverSharedMemory => format!("{kernel}:5001"),
        Peer::LosesPayload => format!("{kernel}:5002"),
        Peer::StaysOpen => format!("{kernel}:5003"),
        Peer::Distant => format!("10.78.{slot}.9:5001"),
        // The kernel is the gateway, does not forward, and says nothing about it.
        Peer::Silent => "192.0.2.1:5001".to_owned(),
    };
    let capture = lab.path(&format!("{index}.pcap"));
    let ours = [10, 78, slot as u8, 2];
    let own = format!("10.78.{slot}.2/24");
    let device = match peer {
        Peer::OverSharedMemory => {
            let socket = lab.path(&format!("{index}.sock"));
            format!("vdev:net_virtio_user0,path={},queue_size=1024", socket.display())
        }
        _ => format!("tap:ts{slot},host={kernel}/24"),
    };
    let _server = (peer == Peer::OverSharedMemory).then(|| {
        let device =
            device.replace("net_virtio_user0,path", "net_vhost0,iface").replace("queue_size=1024", "tso=1");
        let addr = format!("{kernel}/24");
        // DPDK's own words, because they ask for no hugepages.
        let words = ["serve", "--dev", &device, "--addr", &addr, "--hugepages", "off", "--wait", "park"];
        let server = lab.spawn(env!("CARGO_BIN_EXE_tsonami"), words);
        server.says("listening on", PATIENCE);
        server
    });
    let capture_path = capture.to_str().expect("a plain path");
    let fixed = [
        "send",
        &to,
        "--dev",
        &device,
        "--addr",
        &own,
        "--hugepages",
        "off",
        "--json",
        "--pcap",
        capture_path,
    ];
    let mut send =
        lab.spawn(env!("CARGO_BIN_EXE_tsonami"), fixed.into_iter().chain(words.split_whitespace()));
    // What nobody takes times out.
    let code = if !matches!(peer, Peer::Silent | Peer::LosesPayload) { 0 } else { 6 };
    let outcome = send.ends_with(code, PATIENCE);
    let json = serde_json::from_str(&outcome.stdout).expect("the summary is JSON");
    Run { json, frames: frames::read(&capture, ours) }
}
