//! Sends one after the other through the ring of an engine with a thread, each acknowledged and its buffer home before the next:
//! a program to count instructions of, part by part. In a network namespace, as it makes a TAP.
//!
//!     cargo build --release -p tsonami --example ring_cost
//!     sudo unshare -n valgrind --tool=callgrind --separate-threads=no target/release/examples/ring_cost refer 63712 1000

use std::error::Error;
use std::io::{Read, copy, sink};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use tsonami::{Config, Engine, Payload, SendFlags, Wait, WaitStrategy};

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: ring_cost refer|copy BYTES ROUNDS";
    let [how, bytes, rounds] = std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| usage)?;
    let refers = match how.as_str() {
        "refer" => true,
        "copy" => false,
        _ => return Err(usage.into()),
    };
    let (bytes, rounds): (usize, u64) = (bytes.parse()?, rounds.parse()?);
    let mut config = Config::new("tap:ts0,host=10.77.0.1/24", "10.77.0.2/24".parse()?);
    config.wait = WaitStrategy::Pause;
    config.connection.no_delay = true;
    let engine = Engine::builder(config).build()?;
    let listener = TcpListener::bind("10.77.0.1:5001")?;
    let peer = thread::spawn(move || {
        listener.accept().and_then(|(peer, _)| copy(&mut peer.take(u64::MAX), &mut sink()))
    });
    let mut connection = engine.connect("10.77.0.1:5001".parse()?, None).wait(&Wait::forever())?;
    let pool = engine.make_pool(64, bytes.max(64) as u32)?;
    let data = vec![7; bytes];
    for _ in 0..rounds {
        if refers {
            let payload = Payload::from(pool.try_alloc().ok_or("the pool is empty")?.freeze(bytes));
            connection.try_send(payload, SendFlags::default())?;
        } else {
            connection.send_copy(&data, SendFlags::default()).wait(&Wait::forever())?;
        }
        let sent = connection.marks().accepted;
        connection.acked(sent).wait(&Wait::forever())?;
        while refers && pool.available() < 64 {
            thread::yield_now();
        }
    }
    let count =
        |wanted| engine.every_count().into_iter().find(|(name, ..)| *name == wanted).map_or(0, |(_, n, _)| n);
    println!(
        "{rounds} sends of {bytes} bytes ({how}): {} bursts, {} frames, {} segments received, {} bytes copied",
        count("tx_bursts"),
        count("tx_frames"),
        count("rx_segments"),
        count("copied_bytes"),
    );
    connection.finish().wait(&Wait::forever())?;
    drop(connection);
    peer.join().map_err(|_| "the peer ended")??;
    drop(pool);
    engine.shutdown(Duration::from_secs(10))?;
    Ok(())
}
