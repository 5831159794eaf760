//! What a connection costs that is opened, asks 64 bytes, is answered as many and closed, with both ends on one core, over memif and
//! so in MTU-sized frames that are really built and copied. The client closes first and keeps the TIME-WAIT.
//!
//!     cargo run --release --example crr -- 1000000 64
//!     valgrind --tool=callgrind target/release/examples/crr 40000 64
//!
//! The second form counts instructions, of all there is: the difference of two runs of different length is that of the connections.

use std::error::Error;
use std::time::Instant;

use dpdk::{DeviceSpec, EalConfig};
use tsonami::{Config, ConnId, Eal, Event, LocalEngine, SendFlags};

const BYTES: [u8; 64] = [b'?'; 64];

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (connections, parallel) = (numbers.next().unwrap_or(Ok(100_000))?, numbers.next().unwrap_or(Ok(64))?);
    let folder = std::env::temp_dir().join(format!("tsonami-crr-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let ran = run(&folder.join("memif").display().to_string(), connections, parallel);
    std::fs::remove_dir_all(&folder)?;
    ran
}

fn run(socket: &str, connections: u64, parallel: u64) -> Result<(), Box<dyn Error>> {
    // Two names, as both devices are in one process.
    let server = format!("vdev:net_memif0,role=server,socket={socket},socket-abstract=no");
    let client = format!("vdev:net_memif1,role=client,socket={socket},socket-abstract=no");
    let devices: Vec<DeviceSpec> = vec![server.parse()?, client.parse()?];
    let eal =
        Eal::start(EalConfig { no_huge: true, memory_mib: Some(512), devices, ..EalConfig::default() })?;
    let engine = |device: &str, address: &str| {
        let config = Config::new(device, address.parse()?);
        Ok::<_, Box<dyn Error>>(LocalEngine::builder(config).eal(eal.clone()).build_local()?)
    };
    let mut server = engine(&server, "10.9.128.1/16")?;
    let mut client = engine(&client, "10.9.0.2-10.9.0.33/16")?;
    server.listen("10.9.128.1:5001".parse()?, 4096, None)?;
    let peer = "10.9.128.1:5001".parse()?;

    let (mut opened, mut answered, mut open, mut failed) = (0, 0, 0, 0);
    let began = Instant::now();
    while answered + failed < connections || open > 0 {
        for _ in 0..parallel.saturating_sub(open).min(connections - opened).min(64) {
            client.connect(peer, None, client.now())?;
            opened += 1;
            open += 1;
        }
        let received = client.poll_receive(client.now());
        while let Some((id, event)) = client.poll_event() {
            match event {
                Event::Connected => send(&mut client, id),
                Event::Readable if read(&mut client, id) > 0 => {
                    answered += 1;
                    client.shutdown_write(id);
                }
                Event::Closed(end) => {
                    failed += u64::from(end.is_err());
                    open -= 1;
                    client.release(id);
                }
                _ => {}
            }
        }
        client.poll_transmit(received);
        let received = server.poll_receive(server.now());
        while let Some((id, event)) = server.poll_event() {
            match event {
                Event::Readable if read(&mut server, id) > 0 => send(&mut server, id),
                Event::PeerFinished => server.shutdown_write(id),
                Event::Closed(_) => server.release(id),
                _ => {}
            }
        }
        server.poll_transmit(received);
    }
    let elapsed = began.elapsed();
    println!(
        "{connections} connections, {failed} failed, {parallel} at a time, both ends on one core: {:.0} per second",
        connections as f64 / elapsed.as_secs_f64()
    );
    let turns = |engine: &LocalEngine| (engine.counters().iterations_busy, engine.counters().iterations_idle);
    println!("turns busy and idle: client {:?}, server {:?}", turns(&client), turns(&server));
    let frames = |engine: &LocalEngine| engine.counters().tx_frames as f64 / connections as f64;
    println!("frames per connection: client {:.2}, server {:.2}", frames(&client), frames(&server));
    Ok(())
}

fn send(engine: &mut LocalEngine, id: ConnId) {
    let took = engine.send_copy(id, &BYTES, SendFlags::default());
    assert_eq!(took.ok(), Some(BYTES.len()), "there is room for one request");
}

fn read(engine: &mut LocalEngine, id: ConnId) -> usize {
    std::iter::from_fn(|| engine.read(id)).map(|payload| payload.len()).sum()
}
