//! Serves files over HTTP/1.0 and copies none of them: each is read once into memory the device can reach, and every client
//! is sent that memory.
//!
//!     cargo run --example file_server -- tap:ts0,host=10.77.0.1/24 10.77.0.2/24 10.77.0.2:8080 FOLDER
//!     curl http://10.77.0.2:8080/name

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::thread;

use tsonami::{BufPool, Config, Connection, Engine, Payload, SendFlags, Wait};

/// Bytes of a buffer. Larger than a burst, so that no burst is cut short by the end of one.
const BUFFER: u32 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let [device, address, listen, folder] = arguments()?;
    let engine = Engine::builder(Config::new(&device, address.parse()?)).build()?;
    let files = load(&engine, Path::new(&folder))?;
    let mut listener = engine.listen(listen.parse()?, 128, None)?;
    println!("serving {} files at http://{}/", files.len(), listener.local_addr());
    loop {
        let connection = listener.accept().wait(&Wait::forever())?;
        // Handles on payload are counted: giving a client the whole map costs an addition for each.
        let files = files.clone();
        thread::spawn(move || {
            let peer = connection.peer_addr();
            if let Err(error) = answer(connection, &files) {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

/// The files of a folder by name, each as the buffers it fills.
fn load(engine: &Engine, folder: &Path) -> Result<HashMap<String, Vec<Payload>>, Box<dyn Error>> {
    let mut files = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let buffers = entry.metadata()?.len().div_ceil(BUFFER.into()).max(1);
            let pool = engine.make_pool(u32::try_from(buffers)?, BUFFER)?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), read(&pool, &entry.path())?);
        }
    }
    Ok(files)
}

fn read(pool: &BufPool, path: &Path) -> Result<Vec<Payload>, Box<dyn Error>> {
    let mut file = File::open(path)?;
    let mut content = Vec::new();
    loop {
        let Some(mut buffer) = pool.try_alloc() else { return Ok(content) };
        let mut filled = 0;
        while let n @ 1.. = file.read(&mut buffer.spare_mut()[filled..])? {
            filled += n;
        }
        if filled == 0 {
            return Ok(content);
        }
        content.push(buffer.freeze(filled).into());
    }
}

fn answer(mut connection: Connection, files: &HashMap<String, Vec<Payload>>) -> Result<(), Box<dyn Error>> {
    let mut request = String::new();
    BufReader::new(&mut connection).take(4096).read_line(&mut request)?;
    let name = request.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('/');
    let forever = Wait::forever();
    let (head, body) = match files.get(name) {
        Some(content) => {
            let length: usize = content.iter().map(|part| part.len()).sum();
            (format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n"), content.as_slice())
        }
        None => ("HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(), [].as_slice()),
    };
    // The header is copied and waits for the body, to leave in one burst with it; the body is referred to.
    let more = SendFlags { more: !body.is_empty(), ..SendFlags::default() };
    connection.send_copy(head.as_bytes(), more).wait(&forever)?;
    for part in body {
        connection.send(part.clone(), SendFlags::default()).wait(&forever)?;
    }
    Ok(connection.finish().wait(&forever)?)
}

fn arguments() -> Result<[String; 4], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: file_server DEVICE ADDRESS/PREFIX LISTEN:PORT FOLDER".into())
}
