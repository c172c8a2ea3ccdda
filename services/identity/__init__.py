"""identity: staff users, their roles, the keys of programs, and the tokens that every service believes.

Rules: passwords are stored with argon2, secrets of keys and refresh tokens only as digests, private signing keys
only encrypted. Access tokens live 15 minutes; what is taken away before is told to the services through the
revocations in GetKeys. There is always an enabled administrator. A failed log-in tells nobody whether the user
exists, and slows down whoever tries, without locking the owner out for good.
"""
