//! Starts the gateway of the profile that the command line names: `cargo run --example start_gateway coder`.

#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use hermes::Hermes;

fn main() -> Result<(), hermes::Error> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "default".to_owned());
    let status = Hermes::detect()?.gateway(&name)?.start()?;
    println!("`{name}` is {} as process {}", status.state, status.pid.unwrap_or_default());
    Ok(())
}
