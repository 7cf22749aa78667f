"""`python -m pulumi_llm_inference.cli`."""

from pulumi_llm_inference.cli import app

if __name__ == "__main__":
    app()
