"""Synthetic hospitals with planted, known structure: how far a model gets, and could get.

Patients carry a few latent conditions; each shows as many near-synonymous codes, as shifted
labs and as drugs. Outcomes depend on the latent severities alone, so the best possible score
(the oracle) is known. Hospitals differ in size, case mix and coding habit.
"""
