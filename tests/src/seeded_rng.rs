//! Reproducible random values: all come from one seed, which a failed test prints.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The variable with the seed; by default the seed is the time.
const SEED: &str = "HERMES_TEST_SEED";

/// A seeded source of values.
pub struct SeededRng(TestRunner);

impl SeededRng {
    /// A source with this seed.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self(TestRunner::new_with_rng(Config::default(), rng))
    }

    /// The seed from the environment, or a new one.
    pub fn seed() -> u64 {
        let named = std::env::var(SEED).ok();
        named.map_or_else(
            || u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default(),
            |seed| seed.parse().expect("a seed is a number"),
        )
    }

    /// A random value of a strategy.
    pub fn roll<S: Strategy>(&mut self, of: &S) -> S::Value {
        of.new_tree(&mut self.0).expect("there are values").current()
    }
}
