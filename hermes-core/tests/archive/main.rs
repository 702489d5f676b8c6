//! Archives of profiles: what survives a way out and in, what goes on meanwhile, and what is refused.

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
