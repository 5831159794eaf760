//! Sends back what it receives, without copying it: received payload is sent as it is, where the device put it.
//!
//!     cargo run --example echo_server -- tap:ts0,host=10.77.0.1/24 10.77.0.2/24 10.77.0.2:7
//!     head -c 1M /dev/urandom | tee sent | nc -N 10.77.0.2 7 | cmp - sent

use std::error::Error;
use std::thread;

use tsonami::{Config, Connection, Engine, SendFlags, Wait};

fn main() -> Result<(), Box<dyn Error>> {
    let [device, address, listen] = arguments()?;
    let engine = Engine::builder(Config::new(&device, address.parse()?)).build()?;
    let mut listener = engine.listen(listen.parse()?, 128, None)?;
    println!("echoing at {}", listener.local_addr());
    loop {
        let connection = listener.accept().wait(&Wait::forever())?;
        thread::spawn(move || {
            let peer = connection.peer_addr();
            match echo(connection) {
                Ok(bytes) => println!("{peer}: {bytes} bytes"),
                Err(error) => eprintln!("{peer}: {error}"),
            }
        });
    }
}

fn echo(connection: Connection) -> Result<u64, Box<dyn Error>> {
    let (mut sends, mut receives) = connection.into_split();
    let forever = Wait::forever();
    // While there is no room to send, nothing is read: the peer's window closes, and it waits too.
    while let Some(payload) = receives.read().wait(&forever)? {
        sends.send(payload, SendFlags::default()).wait(&forever)?;
    }
    sends.finish().wait(&forever)?;
    Ok(sends.marks().acked.0)
}

fn arguments() -> Result<[String; 3], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: echo_server DEVICE ADDRESS/PREFIX LISTEN:PORT".into())
}
