//! What the kernel's side of the wire sees, recorded by tcpdump and judged by tshark.

use std::path::Path;

use rustix::process::Signal;

use crate::lab::{KERNEL, Lab, PATIENCE, PORT, volume};

/// The fields of one packet that tshark is asked for, in this order.
const FIELDS: [&str; 8] = [
    "ip.src",
    "tcp.len",
    "tcp.hdr_len",
    "ip.flags.df",
    "ip.checksum.status",
    "tcp.checksum_calculated",
    "tcp.checksum",
    "tcp.options.mss_val",
];

#[test]
fn s7_s12_every_frame_on_the_wire_is_right() {
    let lab = Lab::new();
    // No more than tcpdump's buffer holds, should it get no turn until the end.
    let bytes = volume().min(24 << 20);
    let (file, hash) = lab.random_file(bytes / 2);
    let capture = lab.path("wire.pcap");
    let name = capture.to_str().expect("the temporary folder has a plain name");
    // On any interface, since the TAP is not there yet; and without giving up root, which in a user namespace is all
    // there is.
    let args =
        ["-i", "any", "-w", name, "-B", "131072", "-s", "0", "-Z", "root", "-n", "-l", "--print", "tcp"];
    let mut tcpdump = lab.spawn("tcpdump", args);
    tcpdump.says("listening on", PATIENCE);
    let socat = lab.socat();
    lab.send(&format!("{KERNEL}:{PORT} --file {} -P 2", file.display())).ends_with(0, PATIENCE);
    socat.says_times(2, &hash, PATIENCE);
    // It writes down what it has read, not what waits to be read: a last packet that we know tells that it is through.
    lab.spawn("nc", ["-z", "127.0.0.1", "9"]).ends_with(1, PATIENCE);
    tcpdump.says("127.0.0.1.9: Flags [S]", PATIENCE);
    tcpdump.signal(Signal::INT);
    let said = tcpdump.ends_with(0, PATIENCE).stderr;
    assert!(said.contains("\n0 packets dropped by kernel"), "the capture is not whole: {said}");

    assert_eq!(packets(&lab, &capture, "_ws.malformed").len(), 0, "malformed frames");
    let sent = packets(&lab, &capture, "ip.src == 10.77.0.2 && tcp");
    assert!(!sent.is_empty());
    let syn_acks = packets(&lab, &capture, "ip.src == 10.77.0.1 && tcp.flags.syn == 1");
    let mss: usize = syn_acks[0][7].parse().expect("the kernel offers an MSS");
    let mut payload = 0;
    for packet in &sent {
        let [_, len, header, df, ip_checksum, calculated, checksum, _] = packet;
        let (len, header): (usize, usize) =
            (len.parse().expect("tcp.len"), header.parse().expect("tcp.hdr_len"));
        assert_eq!(ip_checksum, "1", "IPv4 checksum wrong: {packet:?}");
        // Two ways to write zero in ones' complement (RFC 1071): drivers and the kernel say 0xffff, tshark 0x0000.
        let same = checksum == calculated || (checksum == "0xffff" && calculated == "0x0000");
        assert!(same, "TCP checksum wrong: {packet:?}");
        assert!(df == "1" || df == "True", "DF is not set: {packet:?}");
        assert!(len + (header - 20) <= mss, "above the MSS of {mss}: {packet:?}");
        payload += len as u64;
    }
    assert!(payload >= bytes, "the capture lacks frames: {payload} bytes");
    assert_eq!(lab.kernel_counter("TcpInCsumErrors"), 0);
}

/// The fields of every packet that passes this display filter.
fn packets(lab: &Lab, capture: &Path, filter: &str) -> Vec<[String; FIELDS.len()]> {
    let mut command = lab.command("tshark");
    command.arg("-r").arg(capture).args(["-n", "-Y", filter, "-T", "fields", "-E", "separator=|"]);
    for preference in ["tcp.check_checksum:TRUE", "ip.check_checksum:TRUE", "tcp.desegment_tcp_streams:FALSE"]
    {
        command.args(["-o", preference]);
    }
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let mut tshark = crate::lab::Process::spawn("tshark", command);
    let table = tshark.ends_with(0, PATIENCE).stdout;
    let row = |line: &str| {
        let fields: Vec<String> = line.split('|').map(str::to_owned).collect();
        fields.try_into().expect("as many fields as asked for")
    };
    table.lines().map(row).collect()
}
