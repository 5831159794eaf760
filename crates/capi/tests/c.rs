//! The interface as C sees it: the header is the one in the repository, and programs compiled by a plain line against what
//! `scripts/install-capi` installed work, in C and in C++, with every warning an error.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take, under valgrind too, and anything that is waited for from it.
const PATIENCE: Duration = Duration::from_secs(300);

const PEER: &str = "10.77.0.1:5001";
const TAP: &str =
    "device = 'tap:ts0,host=10.77.0.1/24'\naddress = '10.77.0.2/24'\nwait = 'park'\ncheck_tx = true";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_header_is_what_the_code_says() {
    let config = cbindgen::Config::from_file(here("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(here("src/lib.rs"))
        .generate()
        .expect("bindings");
    let mut made = Vec::new();
    bindings.write(&mut made);
    let made = String::from_utf8(made).expect("text");
    let path = here("include/tsonami.h");
    if std::env::var("TSONAMI_API").is_ok_and(|value| value == "overwrite") {
        fs::write(&path, &made).expect("the header is written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "the C interface is not the one in crates/capi/include/tsonami.h. Is that what you want, and does \
         TSONAMI_ABI_VERSION fit? Then renew it, and look at what changed:\n    TSONAMI_API=overwrite cargo test -p tsonami-capi \
         the_header"
    );
}

/// The folder the library was built into: the test's own, or the one above.
fn library_folder() -> PathBuf {
    let deps = std::env::current_exe().expect("this test").parent().expect("a folder").to_owned();
    [deps.clone(), deps.parent().expect("a folder").to_owned()]
        .into_iter()
        .find(|folder| folder.join("libtsonami_c.so").exists())
        .expect("libtsonami_c.so is built")
}

/// What was installed, for as long as the test runs.
struct Installed(tempfile::TempDir);

impl Installed {
    fn new() -> Installed {
        let folder = tempfile::tempdir().expect("a folder");
        let output = Command::new(here("../../scripts/install-capi"))
            .args([Path::new("--prefix"), &folder.path().join("usr"), Path::new("--from"), &library_folder()])
            .output()
            .expect("scripts/install-capi runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Installed(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Compiles a program by this line of shell, in which `$source` and `$program` stand for the two.
    fn compile(&self, source: &str, line: &str) -> PathBuf {
        let program = self.path("program");
        let output = Command::new("sh")
            .args(["-c", line])
            .env("source", here(source))
            .env("program", &program)
            .env("PKG_CONFIG_PATH", self.path("usr/lib/pkgconfig"))
            .output()
            .expect("sh runs");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        program
    }

    fn c(&self, source: &str) -> PathBuf {
        self.compile(source, "cc -g -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror -pthread $source $(pkg-config --cflags --libs tsonami) -o $program")
    }

    /// The same, with the library in the program.
    fn c_static(&self, source: &str) -> PathBuf {
        self.compile(source, "cc -std=c11 $source $(pkg-config --static --cflags --libs tsonami) -o $program")
    }

    /// A program that finds the library where it was installed.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", self.path("usr/lib"));
        command
    }
}

/// Runs `body` in a fresh network namespace: this test again, in a process of its own.
fn in_namespace(test: &str, body: impl FnOnce()) {
    const INSIDE: &str = "TSONAMI_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let myself = std::env::current_exe().expect("this test");
    let status =
        command.arg("--net").arg("--").arg(myself).args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    assert!(status.status().expect("unshare (util-linux) runs").success(), "{test} failed inside");
}

/// Listens at every address of the namespace, the TAP's to come included.
fn listen() -> TcpListener {
    TcpListener::bind(("0.0.0.0", 5001)).expect("a kernel's socket")
}

/// The next connection, whose reads take no longer than everything else.
fn accepted(listener: TcpListener) -> TcpStream {
    let (taken, accepted) = channel();
    // Whoever gave up waiting for it has said so.
    thread::spawn(move || taken.send(listener.accept()).is_ok());
    let (stream, _) = accepted.recv_timeout(PATIENCE).expect("a connection, soon").expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// A program that runs. Killed when it is dropped, or takes too long: then what waits for its words sees their end.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    /// Dropped when it has ended.
    _watched: Sender<()>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (watched, ended) = channel::<()>();
        let pid = Pid::from_child(&child);
        thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("the program took more than {PATIENCE:?}");
                // It may have ended at this moment.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Running { child, out, _watched: watched }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("text");
        line
    }

    /// What else it prints, when it has ended well.
    fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("text");
        assert!(self.child.wait().expect("its end").success(), "it printed {rest}");
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_installed_is_what_pkg_config_says() {
    let installed = Installed::new();
    let ask = |arguments: &str| {
        let output = Command::new("pkg-config")
            .args(arguments.split(' '))
            .arg("tsonami")
            .env("PKG_CONFIG_PATH", installed.path("usr/lib/pkgconfig"))
            .output()
            .expect("pkg-config runs");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    assert_eq!(ask("--modversion"), env!("CARGO_PKG_VERSION"));
    let prefix = installed.path("usr");
    assert_eq!(ask("--cflags"), format!("-I{}/include", prefix.display()));
    let folder = format!("-L{}/lib", prefix.display());
    let shared = "-Wl,--push-state,--as-needed -ltsonami_c -Wl,--pop-state";
    assert_eq!(ask("--libs"), format!("{folder} {shared}"));
    let all = ask("--static --libs");
    assert!(all.starts_with(&format!("{folder} -l:libtsonami_c.a ")) && all.ends_with(shared), "{all}");
    // A program finds the version of the interface that it was linked with.
    let library = format!("libtsonami_c.so.{}", tsonami_c::TSONAMI_ABI_VERSION);
    assert_eq!(fs::read_link(prefix.join("lib/libtsonami_c.so")).expect("a link"), Path::new(&library));
    let needs = |program: PathBuf| {
        let output = Command::new("readelf").arg("-d").arg(program).output().expect("readelf runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let dynamic = needs(installed.c("examples/send.c"));
    assert!(dynamic.contains(&format!("[{library}]")), "{dynamic}");
    // The one that has the library in it needs DPDK, and finds its drivers.
    let with_it = needs(installed.c_static("examples/send.c"));
    assert!(!with_it.contains("libtsonami") && with_it.contains("[librte_eal.so."), "{with_it}");
}

#[test]
fn the_header_and_the_examples_are_cpp_too() {
    let installed = Installed::new();
    for source in ["examples/send.c", "examples/own_loop.c"] {
        installed.compile(source, "c++ -x c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror $source -x none $(pkg-config --cflags --libs tsonami) -o $program");
    }
}

#[test]
fn a_c_program_gets_its_errors_in_words() {
    let installed = Installed::new();
    let run = |program: &Path, config: &str, peer: &str| -> Output {
        let mut command = installed.command(program);
        command.args([config, peer]).stdin(Stdio::null()).output().expect("the example runs")
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let programs: [fn(&Installed) -> PathBuf; 3] = [
        |installed| installed.c("examples/send.c"),
        |installed| installed.c("examples/own_loop.c"),
        |installed| installed.c_static("examples/send.c"),
    ];
    for compiled in programs {
        let program = compiled(&installed);
        let output = run(&program, "devise = 'null'", "10.0.0.1:5001");
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).starts_with("open: ") && said(&output).contains("devise"), "{}", said(&output));

        // Nobody answers on the device that swallows everything. ARP gives up long before the connect timeout.
        let config = "device = 'null'\naddress = '10.0.0.2/24'\n[connection]\nconnect_timeout = '30s'";
        let output = run(&program, config, "10.0.0.1:5001");
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("the next hop to the peer answers no ARP"), "{}", said(&output));

        let output = run(&program, config, "10.0.0.1");
        assert!(said(&output).contains("connect: '10.0.0.1' is no address and port"), "{}", said(&output));
    }
}

#[test]
fn s1_what_c_sends_without_a_copy_reaches_the_kernel() {
    in_namespace("s1_what_c_sends_without_a_copy_reaches_the_kernel", || {
        let installed = Installed::new();
        let listener = listen();
        let mut noise = vec![0; 20_000_000];
        fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut noise)).expect("noise");
        let mut command = installed.command(&installed.c("examples/send.c"));
        command.args([TAP, PEER]);
        let mut running = Running::start(command);
        let mut input = running.child.stdin.take().expect("a pipe");
        let sent = noise.clone();
        let writer = thread::spawn(move || input.write_all(&sent));
        let mut got = Vec::new();
        accepted(listener).read_to_end(&mut got).expect("its bytes");
        assert!(got == noise, "identical: {} of {} bytes", got.len(), noise.len());
        writer.join().expect("the writer").expect("its end");
        assert_eq!(running.line(), "20000000 bytes acknowledged\n");
        assert!(running.end().ends_with(" bursts\n"));
    });
}

#[test]
fn a_c_program_with_a_loop_of_its_own_reaches_the_kernel() {
    in_namespace("a_c_program_with_a_loop_of_its_own_reaches_the_kernel", || {
        let installed = Installed::new();
        let listener = listen();
        let mut command = installed.command(&installed.c("examples/own_loop.c"));
        command.args([TAP, PEER]);
        let running = Running::start(command);
        let mut got = String::new();
        accepted(listener).read_to_string(&mut got).expect("its bytes");
        assert_eq!((got.as_str(), running.end().as_str()), ("hello from C\n", "13 bytes acknowledged\n"));
    });
}

/// Runs the program that makes every call, against an echo.
fn make_every_call(mut command: Command) {
    command.args([TAP, PEER]);
    let listener = listen();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut back = stream.try_clone().expect("a handle");
                // One of them is reset.
                let _ = std::io::copy(&mut &stream, &mut back);
                let _ = back.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    let mut running = Running::start(command);
    assert_eq!(running.line(), "listening\n");
    let address = "10.77.0.2:6001".parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(b"hello").expect("room");
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    drop(stream);
    assert_eq!(running.end(), "done\n");
}

#[test]
fn every_call_does_what_it_says_and_misuse_is_an_error() {
    in_namespace("every_call_does_what_it_says_and_misuse_is_an_error", || {
        let installed = Installed::new();
        make_every_call(installed.command(&installed.c("tests/engine.c")));
    });
}

#[test]
fn every_call_of_a_polled_engine_does_what_it_says_and_misuse_is_an_error() {
    in_namespace("every_call_of_a_polled_engine_does_what_it_says_and_misuse_is_an_error", || {
        let installed = Installed::new();
        make_every_call(installed.command(&installed.c("tests/local.c")));
    });
}

/// Runs the program whose threads wait, against a peer that reads nothing.
fn wait_in_every_call(mut command: Command) {
    let listener = listen();
    let _peers = thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    // To be sent through the TAP's host, which has no way there, and says nothing of it.
    let done = Command::new("ip").args(["route", "add", "blackhole", "10.99.0.0/24"]).status();
    assert!(done.expect("ip (iproute2) runs").success());
    command.args([&format!("{TAP}\ngateway = '10.77.0.1'"), PEER, "10.99.0.1:5001"]);
    assert_eq!(Running::start(command).end(), "done\n");
}

#[test]
fn s2_every_wait_is_ended_by_another_thread() {
    in_namespace("s2_every_wait_is_ended_by_another_thread", || {
        let installed = Installed::new();
        wait_in_every_call(installed.command(&installed.c("tests/cancel.c")));
    });
}

/// The program under valgrind's memcheck, which finds wrong accesses and leaks.
fn under_memcheck(source: &str, run: impl FnOnce(Command)) {
    let installed = Installed::new();
    let program = installed.c(source);
    let mut command = installed.command(Path::new("valgrind"));
    // The engine's thread and ours take turns: without that one of them may have all of valgrind's time.
    command.args(["--tool=memcheck", "--quiet", "--fair-sched=yes", "--error-exitcode=9"]);
    command.args(["--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]);
    command.arg(format!("--suppressions={}", here("tests/memcheck.supp").display()));
    command.arg(program);
    run(command);
}

#[test]
fn memcheck_finds_nothing_in_a_c_program_that_makes_every_call() {
    in_namespace("memcheck_finds_nothing_in_a_c_program_that_makes_every_call", || {
        under_memcheck("tests/engine.c", make_every_call);
    });
}

#[test]
fn memcheck_finds_nothing_in_a_c_program_that_polls() {
    in_namespace("memcheck_finds_nothing_in_a_c_program_that_polls", || {
        under_memcheck("tests/local.c", make_every_call);
    });
}

#[test]
fn memcheck_finds_nothing_in_a_c_program_whose_waits_others_end() {
    in_namespace("memcheck_finds_nothing_in_a_c_program_whose_waits_others_end", || {
        under_memcheck("tests/cancel.c", wait_in_every_call);
    });
}
