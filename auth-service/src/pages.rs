//! The pages under `/auth/`, each with what it shows and what it does side by side.

pub mod login;
pub mod logout;
pub mod register;
pub mod renew;
