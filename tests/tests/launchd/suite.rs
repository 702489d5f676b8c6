//! The life that a gateway has under every service manager, under launchd.

use crate::mac::Mac;

hermes_tests::lifecycle_suite!(Mac::new());
