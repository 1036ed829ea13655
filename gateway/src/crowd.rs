//! How many sockets a person and an address have at this gateway, and what happens to one too many. Pure.

use protocol::UserId;
use service::{
    counts::{Counts, Held},
    proxies::network_of,
};
use std::net::IpAddr;

/// Sockets above a limit that are accepted to be told so, since a browser can't read a refused handshake: each stays until its
/// close is answered, so they are counted too, and what comes above them is refused outright.
const TOLD_MAX: usize = 100;

/// The sockets of each person and each address.
#[derive(Default)]
pub struct Crowd {
    users: Counts<UserId>,
    addresses: Counts<IpAddr>,
}

/// A socket's place in the crowd; dropping it gives the place back.
#[derive(Debug)]
pub struct Place {
    _of_user: Option<Held<UserId>>,
    _of_address: Held<IpAddr>,
    /// Whose limit it is above, if it is.
    pub above: Option<Above>,
}

/// Whose limit a socket is above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Above {
    User,
    Address,
}

/// There are so many sockets that one more can't even be told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full(pub Above);

/// Who asks for a place: nobody may be logged in, everybody has an address.
#[derive(Debug, Clone, Copy)]
pub struct Comer {
    pub user: Option<UserId>,
    pub address: IpAddr,
}

impl Crowd {
    /// Counts a socket in.
    ///
    /// # Errors
    /// [`Full`], when even the places of those that are told of a limit are taken.
    pub fn enter(&self, comer: Comer, per_user: usize, per_address: usize) -> Result<Place, Full> {
        let of_address = self.addresses.enter(network_of(comer.address));
        let of_user = comer.user.map(|user| self.users.enter(user));
        let over_address = of_address.place().saturating_sub(per_address);
        let over_user = of_user.as_ref().map_or(0, Held::place).saturating_sub(per_user);
        let above = match (over_address, over_user) {
            (0, 0) => None,
            (0, _) => Some(Above::User),
            _ => Some(Above::Address),
        };
        match above {
            Some(above) if over_address.max(over_user) > TOLD_MAX => Err(Full(above)),
            above => Ok(Place { _of_user: of_user, _of_address: of_address, above }),
        }
    }
}

impl Above {
    /// How counters name it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::User => "too_many_of_user",
            Self::Address => "too_many_of_address",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn one_above_a_persons_limit_is_told_so_wherever_it_comes_from() {
        let (crowd, user) = (Crowd::default(), Some(UserId::new()));
        let enter = |address| crowd.enter(Comer { user, address: at(address) }, 2, 10).unwrap();
        let first = enter("192.0.2.1");
        let _second = enter("192.0.2.2");
        assert_eq!(enter("192.0.2.3").above, Some(Above::User));
        drop(first);
        assert_eq!(enter("192.0.2.3").above, None, "a place that was given back is free");
        let other = Comer { user: Some(UserId::new()), address: at("192.0.2.1") };
        assert_eq!(crowd.enter(other, 2, 10).unwrap().above, None);
    }

    #[test]
    fn one_above_an_addresss_limit_is_told_so_whoever_it_is() {
        let crowd = Crowd::default();
        let enter = |user, address| crowd.enter(Comer { user, address: at(address) }, 9, 2).unwrap();
        let _places = [enter(None, "2001:db8::1"), enter(Some(UserId::new()), "2001:db8::2")];
        assert_eq!(enter(Some(UserId::new()), "2001:db8::3").above, Some(Above::Address));
        assert_eq!(enter(None, "2001:db8:0:1::1").above, None);
    }

    #[test]
    fn far_above_a_limit_nobody_is_let_in_and_nothing_is_kept() {
        let crowd = Crowd::default();
        let comer = Comer { user: Some(UserId::new()), address: at("192.0.2.1") };
        let mut places: Vec<_> = (0..101).map(|_| crowd.enter(comer, 1, 1_000).unwrap()).collect();
        assert_eq!(crowd.enter(comer, 1, 1_000).unwrap_err(), Full(Above::User));
        places.pop();
        assert_eq!(crowd.enter(comer, 1, 1_000).unwrap().above, Some(Above::User));
    }
}
