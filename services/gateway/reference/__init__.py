"""The reference of REST, made from the contracts: /openapi.json for programs, /docs for people.

Comments come from the contracts' source, rules from protovalidate, roles from `(denda.options.v1.access)`.
"""
