//! The conformance suite under Kubernetes.

use crate::console::Console;

hermes_tests::lifecycle_suite!(Console::new());
