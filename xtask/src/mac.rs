//! `cargo xtask mac`: builds the program for macOS, on any system.
//!
//! It links with zig, which has the symbols of Apple's C library; cargo-zigbuild calls it. Nothing of the result runs
//! here: it shows that the program compiles and links. The standard library for macOS comes from rustup or, where
//! rustup can't fetch it, from the sources beside the compiler (`rust-src`).

use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::venv;

const TARGET: &str = "aarch64-apple-darwin";
const LINKER: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1"];
/// The first bytes of a program for 64-bit Macs.
const MACH_O: [u8; 4] = 0xfeed_facf_u32.to_le_bytes();

/// Builds the program, unoptimized, and prints its path.
pub(crate) fn run(no_install: bool) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let linker = venv::ensure("zig", &LINKER, no_install)?.join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([linker].into_iter().chain(std::env::split_paths(&path)))?;
    let _path = shell.push_env("PATH", path);
    let target = crate::target_of(&crate::root())?.join("mac");
    let mut build = shell
        .cmd("cargo-zigbuild")
        .args(["zigbuild", "--locked", "--package", "hermes-cli", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target);
    if !has_std(&shell, no_install)? {
        // The option is not stable, and the sources are those of this very compiler.
        build = build.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1");
    }
    build.run().with_context(|| {
        format!(
            "failed to build for macOS; `rustup target add {TARGET}` installs its standard library"
        )
    })?;
    let program = target.join(TARGET).join("debug/hermes");
    let bytes = std::fs::read(&program)?;
    ensure!(bytes.starts_with(&MACH_O), "{} is no program for macOS", program.display());
    println!("{}: {:.0} MB for macOS, not run", program.display(), bytes.len() as f64 / 1e6);
    Ok(())
}

/// Whether the compiler has the standard library for macOS, or got it now.
fn has_std(shell: &Shell, no_install: bool) -> Result<bool> {
    let print = ["--print", "target-libdir", "--target", TARGET];
    let directory = shell.cmd("rustc").args(print).quiet().read()?;
    let has = || Path::new(&directory).is_dir();
    let add = shell.cmd("rustup").args(["target", "add", TARGET]).quiet().ignore_stderr();
    Ok(has() || !no_install && add.run().is_ok() && has())
}
