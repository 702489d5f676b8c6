//! The image with the Python agent in it: the recipe of `docs/operations.md`, which users build, and the program.
//!
//! Here the agent comes first, on the base, and the program last, so that the engine's build cache keeps the agent.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::Shell;

use crate::image::ImageOptions;
use crate::{docker, image};

/// The page with the recipe.
const PAGE: &str = "docs/operations.md";
/// The first line of the recipe. The lines below it are built.
const FROM: &str = "```dockerfile\nFROM hermes:latest\n";

/// What pip needs to know about this machine's registry: files here, and their places in the image.
const SETTINGS: [(&str, &str); 2] = [
    ("/etc/pip.conf", "/etc/pip.conf"),
    ("/etc/ssl/certs/ca-certificates.crt", "/usr/local/share/ca-certificates/build-machine.crt"),
];

/// Builds the image with the name `tag`, on `base` or the usual one.
pub(crate) fn build(shell: &Shell, base: Option<&str>, tag: &str, no_install: bool) -> Result<()> {
    let base = image::base(shell, base, no_install)?;
    let page = fs::read_to_string(crate::root().join(PAGE))?;
    let recipe = recipe(&page).with_context(|| format!("{PAGE} has no recipe with {FROM:?}"))?;
    let context = shell.create_temp_dir()?;
    let settings = copy_settings(context.path())?;
    let dockerfile = format!("FROM {base}\n{settings}{recipe}");
    fs::write(context.path().join("Dockerfile"), dockerfile)?;
    let directory = context.path().to_str().context("a path is not valid UTF-8")?;
    let with_agent = format!("hermes-agent-base:{}", base.replace(['/', ':', '@'], "-"));
    println!("docker-test: installing the Python agent in `{with_agent}` unless it is cached");
    docker::printed(shell, &["build", "--tag", &with_agent, directory])
        .run()
        .context("failed to build the image with the Python agent")?;
    let image = ImageOptions { base: Some(with_agent), tag: tag.to_owned(), labels: Vec::new() };
    image::run(&image, no_install)
}

/// The instructions of the page's recipe.
fn recipe(page: &str) -> Option<&str> {
    let (_, below) = page.split_once(FROM)?;
    Some(below.split_once("```")?.0)
}

/// Copies this machine's settings to the build context; returns the instructions that copy them to their places.
fn copy_settings(context: &Path) -> Result<String> {
    let mut instructions = String::new();
    for (number, (from, to)) in SETTINGS.into_iter().enumerate() {
        if Path::new(from).exists() {
            let name = format!("settings-{number}");
            image::copy(Path::new(from), &context.join(&name))?;
            writeln!(instructions, "COPY {name} {to}")?;
        }
    }
    Ok(instructions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::REQUIREMENTS;

    #[test]
    fn the_page_installs_the_agent_that_the_tests_run() {
        let page = fs::read_to_string(crate::root().join(PAGE)).unwrap();
        let recipe = recipe(&page).unwrap();
        assert!(recipe.starts_with("RUN "), "{recipe}");
        for requirement in REQUIREMENTS {
            assert!(recipe.contains(requirement), "{requirement}: {recipe}");
        }
    }
}
