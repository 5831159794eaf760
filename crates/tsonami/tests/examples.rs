//! The example programs, against software nobody here wrote: the kernel's TCP, curl, nginx. Each in a network namespace of
//! its own, over a TAP. Those that measure run for a moment.

#[path = "../../dpdk/tests/common/namespace.rs"]
mod namespace;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use self::namespace::enter_namespace;

const DEVICE: [&str; 2] = ["tap:ts0,host=10.77.0.1/24", "10.77.0.2/24"];
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `body` in a fresh network namespace: this test again, in a process of its own.
fn in_namespace(test: &str, body: impl FnOnce(&Path)) {
    enter_namespace(test);
    let folder = tempfile::tempdir().unwrap();
    body(folder.path());
}

/// An example that runs. Killed when it is dropped.
struct Example {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Example {
        let mut child = Command::new(built(name))
            .args(DEVICE)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; cargo builds it with the tests"));
        let out = BufReader::new(child.stdout.take().unwrap());
        Example { child, out }
    }

    /// The next line it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    /// What else it prints, when it has ended well.
    fn end(mut self) -> String {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "it printed {rest}");
        rest
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Somebody else's server. Killed when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Where cargo puts an example that it builds with this test.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples").join(name)
}

/// Listens at every address of the namespace, the TAP's to come included.
fn listen_anywhere(port: u16) -> TcpListener {
    TcpListener::bind(("0.0.0.0", port)).unwrap()
}

/// The next connection to `listener`, unless that takes too long.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(Instant::now() < end, "nobody connects");
                thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn hello_send_says_hello() {
    in_namespace("hello_send_says_hello", |_| {
        let listener = listen_anywhere(5001);
        let example = Example::start("hello_send", &["10.77.0.1:5001"]);
        let mut text = String::new();
        accept(&listener).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello, world\n");
        assert_eq!(example.end(), "10.77.0.1:5001 has 13 bytes\n");
    });
}

#[test]
fn send_times_says_what_each_send_went_through() {
    in_namespace("send_times_says_what_each_send_went_through", |_| {
        let listener = listen_anywhere(5001);
        let mut example = Example::start("send_times", &["10.77.0.1:5001"]);
        assert_eq!(example.line(), "net_tap does not tell when it sends\n");
        let mut text = String::new();
        accept(&listener).read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 10);
        let told = example.end();
        let steps = ["had its turn", "was given to the device", "was acknowledged"];
        for (line, step) in told.lines().zip(steps.iter().cycle()).take(30) {
            assert!(line.ends_with(step), "{told}");
        }
        assert_eq!(told.lines().last(), Some("the device did not tell of 0"));
    });
}

#[test]
fn curl_fetches_a_hundred_megabytes_from_the_file_server() {
    in_namespace("curl_fetches_a_hundred_megabytes_from_the_file_server", |folder| {
        let (files, fetched) = (folder.join("files"), folder.join("fetched"));
        fs::create_dir(&files).unwrap();
        let noise = noise(100_000_000);
        fs::write(files.join("noise"), &noise).unwrap();
        let mut server = Example::start("file_server", &["10.77.0.2:8080", files.to_str().unwrap()]);
        assert_eq!(server.line(), "serving 1 files at http://10.77.0.2:8080/\n");
        let to = fetched.to_str().unwrap();
        let limits = ["--silent", "--show-error", "--max-time", "120"];
        run("curl", &[&limits[..], &["--fail", "--output", to, "http://10.77.0.2:8080/noise"]].concat());
        assert!(fs::read(&fetched).unwrap() == noise, "identical");
        let code = run(
            "curl",
            &[&limits[..], &["--output", to, "--write-out", "%{http_code}", "http://10.77.0.2:8080/no"]]
                .concat(),
        );
        assert_eq!(code, b"404");
    });
}

#[test]
fn a_thousand_subscribers_get_each_message_of_the_publisher() {
    in_namespace("a_thousand_subscribers_get_each_message_of_the_publisher", |_| {
        const SUBSCRIBERS: usize = 1_000;
        const MESSAGES: usize = 10;
        let mut publisher =
            Example::start("publisher", &["10.77.0.2:7000", &SUBSCRIBERS.to_string(), &MESSAGES.to_string()]);
        assert_eq!(publisher.line(), "waiting for 1000 subscribers at 10.77.0.2:7000\n");
        let subscribers: Vec<_> = (0..SUBSCRIBERS)
            .map(|_| {
                let mut stream = TcpStream::connect("10.77.0.2:7000").unwrap();
                let read = move || {
                    let mut message = [0; 16 << 10];
                    for number in 0..MESSAGES as u64 {
                        stream.read_exact(&mut message).unwrap();
                        assert_eq!(message[..8], number.to_be_bytes());
                    }
                    assert_eq!(stream.read(&mut message).unwrap(), 0);
                };
                thread::Builder::new().stack_size(64 << 10).spawn(read).unwrap()
            })
            .collect();
        subscribers.into_iter().for_each(|subscriber| subscriber.join().unwrap());
        assert_eq!(publisher.end(), "1000 subscribers have 10 messages of 16384 bytes each, 0 went away\n");
    });
}

#[test]
fn the_publisher_goes_on_without_a_subscriber_that_goes_away() {
    in_namespace("the_publisher_goes_on_without_a_subscriber_that_goes_away", |_| {
        let mut publisher = Example::start("publisher", &["10.77.0.2:7000", "3", "200"]);
        assert_eq!(publisher.line(), "waiting for 3 subscribers at 10.77.0.2:7000\n");
        let connect = || TcpStream::connect("10.77.0.2:7000").unwrap();
        let (stays, leaves) = ([connect(), connect()], connect());
        // Closed with bytes unread: the kernel resets it.
        assert_eq!(leaves.peek(&mut [0]).unwrap(), 1);
        drop(leaves);
        let readers = stays.map(|mut stream| {
            thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()).unwrap())
        });
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 200 * (16 << 10));
        }
        assert_eq!(publisher.end(), "2 subscribers have 200 messages of 16384 bytes each, 1 went away\n");
    });
}

#[test]
fn the_echo_server_returns_every_byte_while_packets_are_dropped() {
    in_namespace("the_echo_server_returns_every_byte_while_packets_are_dropped", |_| {
        let mut server = Example::start("echo_server", &["10.77.0.2:7"]);
        assert_eq!(server.line(), "echoing at 10.77.0.2:7\n");
        // Both ways: what we send is dropped on its way in, what the kernel sends on its way out.
        for chain in ["INPUT", "OUTPUT"] {
            let rule = ["-m", "statistic", "--mode", "random", "--probability", "0.01", "-j", "DROP"];
            run("iptables", &[&["-A", chain, "-p", "tcp"][..], &rule].concat());
        }
        let noise = noise(10_000_000);
        let stream = TcpStream::connect("10.77.0.2:7").unwrap();
        let (mut to, data) = (stream.try_clone().unwrap(), noise.clone());
        let writer = thread::spawn(move || {
            to.write_all(&data).unwrap();
            to.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        let mut from = &stream;
        from.read_to_end(&mut back).unwrap();
        assert!(back == noise, "identical");
        writer.join().unwrap();
        let counts = String::from_utf8(run("iptables", &["-L", "-v", "-x", "-n"])).unwrap();
        let dropped: Vec<u64> = counts
            .lines()
            .filter(|line| line.contains("statistic"))
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect();
        assert!(dropped.len() == 2 && dropped.iter().all(|&n| n > 0), "{counts}");
    });
}

#[test]
fn the_echo_client_hears_its_echo() {
    in_namespace("the_echo_client_hears_its_echo", |_| {
        let listener = listen_anywhere(7);
        let kernel = thread::spawn(move || {
            let mut from = accept(&listener);
            let mut to = from.try_clone().unwrap();
            from.set_nodelay(true).unwrap();
            std::io::copy(&mut from, &mut to).unwrap();
        });
        let example = Example::start("echo_client", &["10.77.0.1:7", "200"]);
        let out = example.end();
        assert!(out.starts_with("200 answers; half of them within "), "{out}");
        kernel.join().unwrap();
    });
}

#[test]
fn nginx_answers_the_tokio_client() {
    in_namespace("nginx_answers_the_tokio_client", |folder| {
        let page = "<p>served by somebody else</p>\n".repeat(10_000);
        fs::write(folder.join("page.html"), &page).unwrap();
        let folder = folder.to_str().unwrap();
        let config = format!(
            "daemon off; master_process off; error_log {folder}/error.log; pid {folder}/pid;
             events {{}}
             http {{
                 access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
                 fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
                 server {{ listen 80; root {folder}; }}
             }}"
        );
        let path = format!("{folder}/nginx.conf");
        fs::write(&path, config).unwrap();
        let nginx = Command::new("nginx").args(["-p", folder, "-e", "stderr", "-c", &path]).spawn();
        let mut nginx = Server(nginx.expect("nginx runs"));
        let end = Instant::now() + PATIENCE;
        run("ip", &["link", "set", "lo", "up"]);
        while TcpStream::connect("127.0.0.1:80").is_err() {
            assert!(Instant::now() < end && nginx.0.try_wait().unwrap().is_none(), "nginx does not listen");
            thread::yield_now();
        }
        let answer = Example::start("tokio_client", &["10.77.0.1:80", "/page.html"]).end();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("Server: nginx"), "{head}");
        assert_eq!(body, page);
    });
}

#[test]
fn a_loop_of_ones_own_sends_its_ticks() {
    in_namespace("a_loop_of_ones_own_sends_its_ticks", |_| {
        let listener = listen_anywhere(5001);
        let example = Example::start("own_loop", &["10.77.0.1:5001"]);
        let mut text = String::new();
        accept(&listener).read_to_string(&mut text).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            (1..=10).map(|i| format!("tick {i}")).collect::<Vec<_>>()
        );
        assert_eq!(example.end(), "10 ticks sent\n");
    });
}

#[test]
fn a_program_that_started_dpdk_itself_hands_it_over_and_has_it_back() {
    in_namespace("a_program_that_started_dpdk_itself_hands_it_over_and_has_it_back", |_| {
        let listener = listen_anywhere(5001);
        let example = Example::start("host_eal", &["10.77.0.1:5001"]);
        let mut text = String::new();
        accept(&listener).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello from a DPDK program\n");
        assert_eq!(example.end(), "the EAL ended with 0\n");
    });
}

/// What a program that measures prints, which makes its device itself.
fn measured(name: &str, arguments: &[&str]) -> String {
    let program = built(name);
    String::from_utf8_lossy(&run(program.to_str().unwrap(), arguments)).into_owned()
}

#[test]
fn latency_times_each_send() {
    in_namespace("latency_times_each_send", |_| {
        let said = measured("latency", &["spin", "20"]);
        assert!(
            said.starts_with("Spin: median ") && said.contains(" of 20; system calls to wake it: 0"),
            "{said}"
        );
    });
}

#[test]
fn ring_cost_sends_by_reference_and_by_copy() {
    in_namespace("ring_cost_sends_by_reference_and_by_copy", |_| {
        let said = measured("ring_cost", &["refer", "63712", "20"]);
        assert!(
            said.starts_with("20 sends of 63712 bytes (refer)") && said.ends_with(", 0 bytes copied\n"),
            "{said}"
        );
        let said = measured("ring_cost", &["copy", "64", "20"]);
        assert!(
            said.starts_with("20 sends of 64 bytes (copy)") && said.ends_with(", 1280 bytes copied\n"),
            "{said}"
        );
    });
}

#[test]
fn crr_opens_asks_and_closes_in_seven_frames() {
    in_namespace("crr_opens_asks_and_closes_in_seven_frames", |_| {
        let said = measured("crr", &["500", "16"]);
        assert!(said.starts_with("500 connections, 0 failed, "), "{said}");
    });
}
