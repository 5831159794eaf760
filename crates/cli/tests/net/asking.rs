//! `tsonami rr` and `crr` against the kernel and against `tsonami serve --answer`.

use std::time::Instant;

use serde_json::Value;

use crate::lab::{KERNEL, Lab, PATIENCE, PORT, Process};

/// A server in the kernel that sends back what it is sent.
fn echo(lab: &Lab) -> Process {
    let listen = format!("TCP-LISTEN:{PORT},fork,reuseaddr,backlog=128");
    let process = lab.spawn("socat", ["-d", "-d", &listen, "EXEC:cat"]);
    process.says("listening on", PATIENCE);
    process
}

/// Runs `tsonami rr` or `crr` over a TAP; what its JSON says.
fn asks(lab: &Lab, words: &str, code: i32) -> Value {
    let device = format!("tap:ts0,host={KERNEL}/24");
    let (mode, words) = words.split_once(' ').expect("a mode");
    let fixed = [mode, "--dev", &device, "-J", KERNEL];
    let own = if words.contains("--addr") { "" } else { "--addr 10.77.0.2/24" };
    let words = own.split_whitespace().chain(words.split_whitespace());
    let mut process = lab.spawn(env!("CARGO_BIN_EXE_tsonami"), fixed.into_iter().chain(words));
    let said = process.ends_with(code, PATIENCE).stdout;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn requests_over_connections_that_stay_are_all_answered_and_measured() {
    let lab = Lab::new();
    let _echo = echo(&lab);
    let log = lab.path("latency.hlog");
    let words = format!("rr --request 3000 -P 3 --pipeline 2 -n 200 --hdr {}", log.display());
    let json = asks(&lab, &words, 0);
    assert_eq!((&json["answered_requests"], &json["latency"]["samples"]), (&200.into(), &200.into()));
    assert_eq!(json["opened_connections"], 3);
    assert_eq!((&json["unanswered_requests"], &json["complete"]), (&0.into(), &true.into()));
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.lines().any(|line| line.contains("HISTFAAA")), "{log}");
}

/// An answer that takes a second makes others wait who were due meanwhile. Who asks one after the other would measure one.
#[test]
fn what_a_stall_makes_others_wait_is_measured_from_when_they_were_due() {
    let script = "import socket, threading
s = socket.create_server(('', 5001)); print('listening', flush=True); c, _ = s.accept()
stalled = False
while c.recv(64, socket.MSG_WAITALL):
    if not stalled: threading.Event().wait(1); stalled = True
    c.sendall(b'x' * 64)";
    for (rate, slow) in [("--rate 100", true), ("", false)] {
        let lab = Lab::new();
        let server = lab.spawn("/usr/bin/python3", ["-u", "-c", script]);
        server.says("listening", PATIENCE);
        let json = asks(&lab, &format!("rr -n 200 {rate}"), 0);
        assert!(json["latency"]["max_us"].as_f64().expect("a number") > 900_000.0);
        // A hundred were due in that second; the second half of it waited for less than half a second.
        if slow {
            assert!(json["latency"]["p90_us"].as_f64().expect("a number") > 400_000.0, "{}", json["latency"]);
        }
        assert_eq!(json["answered_requests"], 200, "{slow}");
    }
}

#[test]
fn what_is_due_in_the_warm_up_is_not_counted() {
    let lab = Lab::new();
    let _echo = echo(&lab);
    let json = asks(&lab, "rr --rate 1000 -n 1000 --warmup 500ms", 0);
    assert_eq!(json["answered_requests"], 500);
}

#[test]
fn connections_for_one_request_each_close_as_they_are_told() {
    for close in ["us", "reset"] {
        let lab = Lab::new();
        let _echo = echo(&lab);
        let json = asks(&lab, &format!("crr -n 30 -P 4 --close {close}"), 0);
        assert_eq!(
            (&json["answered_requests"], &json["opened_connections"]),
            (&30.into(), &30.into()),
            "{close}"
        );
        assert_eq!(
            (&json["connecting"]["samples"], &json["failed_connections"]),
            (&30.into(), &serde_json::json!({}))
        );
    }
}

#[test]
fn both_ends_ours_answer_a_thousand_connections_and_the_server_closes_first() {
    let lab = Lab::new();
    lab.run("ip link add ts-veth0 type veth peer name ts-veth1");
    lab.run("ip link set ts-veth0 up");
    lab.run("ip link set ts-veth1 up");
    let tsonami = env!("CARGO_BIN_EXE_tsonami");
    let words = "serve --dev af_packet:ts-veth1 --addr 10.77.0.1/24 --answer 64:1K --close -n 1000 -J";
    let began = Instant::now();
    let mut server = lab.spawn(tsonami, words.split_whitespace());
    // It says nothing before its end in JSON: the kernel tells when its socket is there.
    let words = "crr 10.77.0.1 --dev af_packet:ts-veth0 --addr 10.77.0.2/24 --response 1K -n 1000 -P 16 --close peer -J --timeout 20";
    let said = lab.spawn(tsonami, words.split_whitespace()).ends_with(0, PATIENCE).stdout;
    let json: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (&json["answered_requests"], &json["unanswered_requests"]),
        (&1000.into(), &0.into()),
        "{said}"
    );
    let said = server.ends_with(0, PATIENCE).stdout;
    let json: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (&json["total"]["connections"], &json["total"]["requests"]),
        (&1000.into(), &1000.into()),
        "{said}"
    );
    assert_eq!(
        (&json["total"]["received_bytes"], &json["total"]["failed_connections"]),
        (&64_000.into(), &0.into())
    );
    // What its loop did: some of the time it worked, and the rest it waited.
    assert_eq!(json["counters"]["connections_accepted"], 1000, "{said}");
    let busy = json["busy_seconds"].as_f64().expect("seconds");
    assert!(busy > 0.0 && busy < began.elapsed().as_secs_f64(), "{busy} s");
}

#[test]
fn a_kernel_client_is_answered_however_its_requests_are_cut() {
    let lab = Lab::new();
    let server = lab.serve("--addr 10.77.0.2/24 --answer 5:7 --once");
    // Two requests and a half: two answers, then the end.
    let script = "import socket
c = socket.create_connection(('10.77.0.2', 5001)); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for part in (b'123', b'45', b'67', b'89012'): c.sendall(part)
c.shutdown(socket.SHUT_WR)
print(len(b''.join(iter(lambda: c.recv(100), b''))))";
    let said = lab.spawn("/usr/bin/python3", ["-c", script]).ends_with(0, PATIENCE).stdout;
    assert_eq!(said.trim(), "14");
    server.says("1 connections, 2 requests answered, 12 bytes", PATIENCE);
}

#[test]
fn answers_that_are_too_long_and_servers_that_leave_are_told() {
    let lab = Lab::new();
    let _echo = echo(&lab);
    let json = asks(&lab, "rr -n 10 --response 10", 2);
    assert!(json["error"]["what"].as_str().expect("an error").contains("answers more than 10 bytes"));
    let script = "import socket
s = socket.create_server(('', 5002)); print('listening', flush=True); c, _ = s.accept()
for _ in range(2): c.sendall(c.recv(64, socket.MSG_WAITALL))
c.recv(64, socket.MSG_WAITALL); c.close(); c, _ = s.accept(); c.recv(1000)
c.recv(1)";
    let server = lab.spawn("/usr/bin/python3", ["-u", "-c", script]);
    server.says("listening", PATIENCE);
    let json = asks(&lab, "rr -p 5002 -n 10", 7);
    assert_eq!(json["answered_requests"], 2, "{json}");
    assert_eq!(json["failed_connections"], serde_json::json!({ "closed by the peer": 1 }));
    let json = asks(&lab, "rr -p 5002 -n 10 --timeout 1", 6);
    assert_eq!((&json["answered_requests"], &json["unanswered_requests"]), (&0.into(), &1.into()), "{json}");
    let json = asks(&lab, "crr -p 5003 -n 5", 4);
    assert_eq!(json["failed_connections"], serde_json::json!({ "refused": 5 }));
}

/// Each worker asks its share, over queues and from addresses of its own choice.
#[test]
fn p8_workers_ask_as_one_and_from_each_of_our_addresses() {
    let lab = Lab::new();
    let _echo = echo(&lab);
    let log = lab.path("latency.hlog");
    let words = format!("rr --workers 2 -P 5 -n 201 --hdr {}", log.display());
    let json = asks(&lab, &words, 0);
    assert_eq!((&json["answered_requests"], &json["opened_connections"]), (&201.into(), &5.into()), "{json}");
    assert_eq!((&json["latency"]["samples"], &json["connections"]), (&201.into(), &5.into()));
    let of = |worker: usize| &json["workers"][worker]["answered_requests"];
    assert_eq!((of(0), of(1)), (&101.into(), &100.into()));
    assert!(json["steering"].as_str().expect("text").contains("their worker's queue"), "{json}");
    assert!(log.exists() && log.with_extension("hlog.1").exists());
    let json = asks(&lab, "crr --workers 2 -P 8 -n 160 --addr 10.77.0.2-10.77.0.9/24", 0);
    assert_eq!((&json["answered_requests"], &json["complete"]), (&160.into(), &true.into()), "{json}");
    let replies = json["counters"]["arp_replies_sent"].as_u64();
    assert!(
        replies >= Some(7),
        "the kernel asks for each but the one that asked for it, of 160 about 20 each"
    );
    for (words, mend) in
        [("rr --workers 3 -P 2", "--parallel 3"), ("crr --workers 2 -P 2 --rate 1", "--workers 1")]
    {
        let (mode, words) = words.split_once(' ').expect("a mode");
        let mut process = lab
            .spawn(env!("CARGO_BIN_EXE_tsonami"), [mode, KERNEL].into_iter().chain(words.split_whitespace()));
        let stderr = process.ends_with(2, PATIENCE).stderr;
        assert!(stderr.contains(mend), "{stderr}");
    }
}

#[test]
fn p8_workers_answer_as_one_and_end_after_so_many_together() {
    let lab = Lab::new();
    let mut server = lab.serve("--addr 10.77.0.2-10.77.0.5/24 --answer 5:7 --workers 2 -n 24");
    let script = "import socket
for n in range(24):
    c = socket.create_connection(('10.77.0.%d' % (2 + n % 4), 5001)); c.sendall(b'12345')
    c.shutdown(socket.SHUT_WR)
    print(len(b''.join(iter(lambda: c.recv(100), b''))))";
    let said = lab.spawn("/usr/bin/python3", ["-c", script]).ends_with(0, PATIENCE).stdout;
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["7"; 24]);
    let said = server.ends_with(0, PATIENCE).stdout;
    assert!(said.contains("24 connections, 24 requests answered, 120 bytes"), "{said}");
}
