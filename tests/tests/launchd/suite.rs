//! The conformance suite under launchd.

use crate::mac::Mac;

hermes_tests::lifecycle_suite!(Mac::new());
