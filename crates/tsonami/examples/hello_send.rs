//! Sends one line over a connection, and waits until the peer has it.
//!
//!     nc -l 5001 &
//!     cargo run --example hello_send -- tap:ts0,host=10.77.0.1/24 10.77.0.2/24 10.77.0.1:5001

use std::error::Error;
use std::time::Duration;

use tsonami::{Config, Engine, SendFlags, Wait};

fn main() -> Result<(), Box<dyn Error>> {
    let [device, address, peer] = arguments()?;

    // The engine has a thread of its own, which looks after the device and every connection.
    let engine = Engine::builder(Config::new(&device, address.parse()?)).build()?;
    let patience = Wait::at_most(Duration::from_secs(10));

    let mut connection = engine.connect(peer.parse()?, None).wait(&patience)?;
    connection.send_copy(b"hello, world\n", SendFlags::default()).wait(&patience)?;
    // The end of our direction. It is over when the peer's TCP has acknowledged everything.
    connection.finish().wait(&patience)?;
    println!("{} has {} bytes", connection.peer_addr(), connection.marks().acked);

    drop(connection);
    Ok(engine.shutdown(Duration::from_secs(1))?)
}

fn arguments() -> Result<[String; 3], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: hello_send DEVICE ADDRESS/PREFIX PEER:PORT".into())
}
