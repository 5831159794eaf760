//! A service that has a loop already and turns the engine in it: no other thread, no rings, no waiting.
//!
//!     cargo run --example own_loop -- tap:ts0,host=10.77.0.1/24 10.77.0.2/24 10.77.0.1:5001

use std::error::Error;
use std::time::{Duration, Instant};

use tsonami::{Config, Error as SendError, Event, LocalEngine, SendFlags};

/// Ticks there are.
const TICKS: u32 = 10;
/// Time between two of them.
const TICK: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn Error>> {
    let [device, address, peer] = arguments()?;
    let mut engine = LocalEngine::builder(Config::new(&device, address.parse()?)).build_local()?;
    let connection = engine.connect(peer.parse()?, None, engine.now())?;
    let (mut open, mut ticks, mut due) = (false, 0, Instant::now());
    // What the engine has yet to take: a copying send takes what there is room for.
    let mut unsent = Vec::new();
    loop {
        // What the service does anyway.
        if open && ticks < TICKS && Instant::now() >= due {
            ticks += 1;
            due += TICK;
            unsent.extend(format!("tick {ticks}\n").bytes());
        }
        if !unsent.is_empty() {
            match engine.send_copy(connection, &unsent, SendFlags::default()) {
                Ok(taken) => drop(unsent.drain(..taken)),
                // Later; the next turn of the loop is soon enough.
                Err(SendError::Full | SendError::PoolExhausted) => {}
                Err(error) => return Err(error.into()),
            }
            if ticks == TICKS && unsent.is_empty() {
                engine.shutdown_write(connection);
            }
        }
        // And its network: one bounded turn.
        let progress = engine.poll(engine.now());
        while let Some((_, event)) = engine.poll_event() {
            match event {
                Event::Connected => (open, due) = (true, Instant::now()),
                Event::Closed(end) => {
                    end?;
                    println!("{ticks} ticks sent");
                    return Ok(engine.shutdown(Duration::from_secs(1))?);
                }
                _ => {}
            }
        }
        engine.rest(progress.is_busy());
    }
}

fn arguments() -> Result<[String; 3], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: own_loop DEVICE ADDRESS/PREFIX PEER:PORT".into())
}
