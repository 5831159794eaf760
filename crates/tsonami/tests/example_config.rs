//! The documented configuration is right: it can be read, and what it shows as a default is one.

use tsonami::Config;

const EXAMPLE: &str = include_str!("../../../config/example.toml");

/// The example with its commented-out keys in force.
fn with_every_key() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_the_defaults() {
    let example = Config::from_toml(EXAMPLE).expect("the example is right");
    let mut defaults =
        Config::new("tap:tsonami0,host=10.77.0.1/24", "10.77.0.2/24".parse().expect("an address"));
    defaults.gateway = Some("10.77.0.1".parse().expect("an address"));
    assert_eq!(example, defaults);
}

#[test]
fn the_example_shows_the_defaults_of_connections() {
    let shown = Config::from_toml(&with_every_key()).expect("every key exists").connection;
    let defaults = Config::from_toml(EXAMPLE).expect("the example is right").connection;
    let set = tsonami::ConnectOptions {
        mss: None,
        send_buffer: None,
        notsent_lowat: None,
        max_pacing_rate: None,
        linger: None,
        keepalive: None,
        user_timeout_option: None,
        ..shown
    };
    assert_eq!(set, defaults);
}

#[test]
fn the_example_shows_every_key() {
    let config = Config::from_toml(&with_every_key()).expect("every key exists");
    let value = toml::Value::try_from(&config).expect("it can be written");
    let mut missing = Vec::new();
    let mut tables = vec![(String::new(), value)];
    while let Some((name, value)) = tables.pop() {
        // On a line of its own, or in an inline table.
        let shown =
            |line: &str| line.starts_with(&format!("{name} =")) || line.contains(&format!(" {name} = "));
        match value {
            toml::Value::Table(table) => tables.extend(table),
            _ if with_every_key().lines().filter(|line| !line.starts_with('#')).any(shown) => {}
            _ => missing.push(name),
        }
    }
    assert!(missing.is_empty(), "config/example.toml does not show {missing:?}");
}
