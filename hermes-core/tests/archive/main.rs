//! Archives of profiles: round trips, concurrent changes, and refused archives.

#[cfg(test)]
mod changed;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod meanwhile;
#[cfg(test)]
mod survives;
