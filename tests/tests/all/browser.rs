//! What people see, in a real Chromium.

mod looks;
mod network;
mod reading;
mod sending;
mod story;
mod writing;
