"""The screens: Streamlit apps that ask a service function and draw its answer.

Owns pages, their state in the URL and loading what they show. Holds no rule
and computes no figure: those come from `research`, `strategies` and others.
"""
