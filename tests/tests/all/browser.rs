//! What people see, in a real Chromium.

mod away;
mod changing;
mod expiring;
mod links;
mod looks;
mod network;
mod passing;
mod reading;
mod searching;
mod sending;
mod story;
mod writing;
