//! Fetches a page in a tokio task: with the feature `tokio` a connection is an `AsyncRead` and an `AsyncWrite`.
//!
//!     cargo run --features tokio --example tokio_client -- tap:ts0,host=10.77.0.1/24 10.77.0.2/24 10.77.0.1:80 /

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tsonami::{Config, Engine};

fn main() -> Result<(), Box<dyn Error>> {
    let [device, address, peer, path] = arguments()?;
    // Ending the engine waits for its connections, as dropping it does. So it belongs to this thread, and no task has it.
    let engine = Engine::builder(Config::new(&device, address.parse()?)).build()?;
    let page = tokio::runtime::Runtime::new()?.block_on(fetch(&engine, &peer, &path));
    engine.shutdown(Duration::from_secs(1))?;
    print!("{}", page?);
    Ok(())
}

async fn fetch(engine: &Engine, peer: &str, path: &str) -> Result<String, Box<dyn Error>> {
    // Dropped before it is ready, as the timeout does, a future leaves nothing behind.
    let mut connection = timeout(Duration::from_secs(10), engine.connect(peer.parse()?, None)).await??;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {peer}\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut page = Vec::new();
    connection.read_to_end(&mut page).await?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn arguments() -> Result<[String; 4], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: tokio_client DEVICE ADDRESS/PREFIX PEER:PORT PATH".into())
}
