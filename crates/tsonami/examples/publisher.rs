//! Publishes to many subscribers: every message is one buffer, however many connections it goes to, and goes home once the
//! slowest of them has it.
//!
//! A thousand connections need no thread each, and no rings: the program turns the engine's loop itself.
//!
//!     cargo run --example publisher -- tap:ts0,host=10.77.0.1/24 10.77.0.2/24 10.77.0.2:7000 SUBSCRIBERS MESSAGES

use std::error::Error;
use std::time::Duration;

use tsonami::{Config, ConnId, Event, LocalEngine, Payload, SendFlags};

/// Bytes of a message.
const MESSAGE: u32 = 16 << 10;
/// Messages that subscribers may be apart.
const WINDOW: u32 = 64;

struct Subscriber {
    id: ConnId,
    /// The number of the message it is sent next.
    next: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let [device, address, listen, subscribers, messages] = arguments()?;
    let (wanted, messages): (usize, usize) = (subscribers.parse()?, messages.parse()?);

    let mut engine = LocalEngine::builder(Config::new(&device, address.parse()?)).build_local()?;
    let pool = engine.make_pool(WINDOW, MESSAGE)?;
    engine.listen(listen.parse()?, wanted, None)?;
    println!("waiting for {wanted} subscribers at {listen}");

    let mut subscribers: Vec<Subscriber> = Vec::with_capacity(wanted);
    // Those that somebody may still need. Dropping the publisher's own handle leaves the connections' handles.
    let mut published: Vec<Payload> = Vec::new();
    let (mut first, mut accepted, mut finished, mut lost) = (0, 0, 0, 0);
    while finished + lost < wanted {
        let progress = engine.poll(engine.now());
        while let Some((id, event)) = engine.poll_event() {
            match event {
                Event::Accepted(_) => {
                    accepted += 1;
                    subscribers.push(Subscriber { id, next: 0 });
                }
                Event::Finished => {
                    finished += 1;
                    subscribers.retain(|subscriber| subscriber.id != id);
                }
                Event::Closed(end) => {
                    // One that goes away before it has all is no reason to leave the others without.
                    if subscribers.extract_if(.., |subscriber| subscriber.id == id).count() > 0 {
                        eprintln!("a subscriber is lost: {end:?}");
                        lost += 1;
                    }
                    engine.release(id);
                }
                _ => {}
            }
        }
        if accepted < wanted {
            engine.rest(progress.is_busy());
            continue;
        }
        // A new message as long as there is a buffer: none is free while the slowest is a whole window behind.
        while first + published.len() < messages
            && let Some(mut buffer) = pool.try_alloc()
        {
            let number = (first + published.len()) as u64;
            buffer.spare_mut()[..8].copy_from_slice(&number.to_be_bytes());
            published.push(buffer.freeze(MESSAGE as usize).into());
        }
        for subscriber in &mut subscribers {
            while let Some(message) = published.get(subscriber.next - first) {
                match engine.send(subscriber.id, message.clone(), SendFlags::default()) {
                    Ok(_) => subscriber.next += 1,
                    // Or it is over, as an event is about to tell.
                    Err(_) => break,
                }
                if subscriber.next == messages {
                    engine.shutdown_write(subscriber.id);
                }
            }
        }
        let slowest = subscribers.iter().map(|subscriber| subscriber.next).min().unwrap_or(first);
        published.drain(..slowest - first);
        first = slowest;
        engine.rest(progress.is_busy());
    }
    println!("{finished} subscribers have {messages} messages of {MESSAGE} bytes each, {lost} went away");
    drop(published);
    Ok(engine.shutdown(Duration::from_secs(1))?)
}

fn arguments() -> Result<[String; 5], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given
        .try_into()
        .map_err(|_| "usage: publisher DEVICE ADDRESS/PREFIX LISTEN:PORT SUBSCRIBERS MESSAGES".into())
}
