//! Asks and waits for the answer, many times, and says how long it took.
//!
//!     cargo run --example echo_client -- tap:ts0,host=10.77.0.1/24 10.77.0.2/24 10.77.0.1:7 1000

use std::error::Error;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tsonami::{Config, ConnectOptions, Engine, Wait};

fn main() -> Result<(), Box<dyn Error>> {
    let [device, address, peer, rounds] = arguments()?;
    let engine = Engine::builder(Config::new(&device, address.parse()?)).build()?;
    // A question is small and must not wait for the acknowledgement of another.
    let options = ConnectOptions { no_delay: true, ..ConnectOptions::default() };
    let mut connection = engine.connect(peer.parse()?, Some(&options)).wait(&Wait::forever())?;

    let mut times = Vec::new();
    for round in 0..rounds.parse::<u64>()? {
        let question = round.to_be_bytes();
        let mut answer = [0; 8];
        let begin = Instant::now();
        // A connection is a reader and a writer like any other.
        connection.write_all(&question)?;
        connection.read_exact(&mut answer)?;
        times.push(begin.elapsed());
        assert_eq!(answer, question, "what comes back is what was sent");
    }
    times.sort_unstable();
    if let (Some(half), Some(last)) = (times.get(times.len() / 2), times.last()) {
        println!("{} answers; half of them within {half:?}, all within {last:?}", times.len());
    }
    connection.finish().wait(&Wait::forever())?;
    drop(connection);
    Ok(engine.shutdown(Duration::from_secs(1))?)
}

fn arguments() -> Result<[String; 4], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: echo_client DEVICE ADDRESS/PREFIX PEER:PORT ROUNDS".into())
}
