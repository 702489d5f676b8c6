//! Chance that can be had again: all of it comes from one number, which a failure tells.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Names the number; otherwise it is the time's.
const SEED: &str = "HERMES_TEST_SEED";

/// A seeded source of values.
pub struct SeededRng(TestRunner);

impl SeededRng {
    /// Chance that comes from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self(TestRunner::new_with_rng(Config::default(), rng))
    }

    /// The seed that the environment names, or another one each time.
    pub fn seed() -> u64 {
        let named = std::env::var(SEED).ok();
        named.map_or_else(
            || u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default(),
            |seed| seed.parse().expect("a seed is a number"),
        )
    }

    /// One of the values that there are.
    pub fn roll<S: Strategy>(&mut self, of: &S) -> S::Value {
        of.new_tree(&mut self.0).expect("there are values").current()
    }
}
