//! The search worker: reads the log into a sealed index, and finds messages in it.
