//! The names of a profile's objects in a cluster.
//!
//! A Pod of a StatefulSet carries a label with the StatefulSet's name, a hyphen and a hash of ten characters. A label's value
//! has at most 63 bytes, so such a name has at most 52 ([`Labels`]). It is also a part of the Pod's host name, so it has
//! letters, digits and hyphens alone ([`Names`]).
//!
//! [`Labels`]: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
//! [`Names`]: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/

use hermes_core::ProfileName;

/// The most bytes of a name.
const MAX_LEN: usize = 52;
/// What the name of a profile follows.
const PREFIX: &str = "hermes-";
/// The same before a shortened name, so that none equals the whole name of another profile.
const SHORTENED: &str = "hermesx-";
/// A hyphen and the hash after a shortened name.
const HASH_LEN: usize = 17;

/// The name of the profile's StatefulSet. A name that Kubernetes can't carry is shortened, and a hash of all of it follows:
/// the annotation [`PROFILE`](crate::objects::PROFILE) has the full one.
pub fn object_name(profile: &ProfileName) -> String {
    let name = profile.as_str();
    let is_whole =
        !name.contains('_') && !name.ends_with('-') && PREFIX.len() + name.len() <= MAX_LEN;
    if is_whole {
        return format!("{PREFIX}{name}");
    }
    let room = MAX_LEN - SHORTENED.len() - HASH_LEN;
    let kept: String = name.chars().take(room).map(|c| if c == '_' { '-' } else { c }).collect();
    format!("{SHORTENED}{}-{:016x}", kept.trim_end_matches('-'), fnv_1a(name.as_bytes()))
}

/// The name of the Pod of the StatefulSet `object`.
pub fn pod_name(object: &str) -> String {
    format!("{object}-0")
}

/// The 64-bit hash FNV-1a (RFC 9923), which every version of this program has to compute alike.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(name: &str) -> String {
        object_name(&name.parse().unwrap())
    }

    #[test]
    fn a_name_that_kubernetes_can_carry_is_kept() {
        assert_eq!(named("coder"), "hermes-coder");
        assert_eq!(named("a--b"), "hermes-a--b");
        let longest = "x".repeat(45);
        assert_eq!(named(&longest), format!("hermes-{longest}"));
        assert_eq!(pod_name("hermes-coder"), "hermes-coder-0");
    }

    #[test]
    fn another_one_is_shortened() {
        assert_eq!(named("my_coder"), "hermesx-my-coder-6a31f3122d061ed9");
        assert_ne!(named("my_coder"), named("my-coder"));
        assert_ne!(named("coder-"), named("coder"));
        assert_ne!(named(&"x".repeat(46)), named(&"x".repeat(47)));
        assert_eq!(named(&"x".repeat(251)).len(), MAX_LEN);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // From the test vectors of the specification.
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    proptest! {
        #[test]
        fn every_name_is_valid_and_none_meet(
            one in "[a-z0-9][a-z0-9_-]{0,80}",
            other in "[a-z0-9][a-z0-9_-]{0,80}",
        ) {
            let name = named(&one);
            prop_assert!(name.len() <= MAX_LEN);
            prop_assert!(!name.ends_with('-'));
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(one == other || name != named(&other));
        }
    }
}
