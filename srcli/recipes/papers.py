"""The papers of the networks, to be cited."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Paper:
    """One publication; what is not known of it is empty."""

    title: str
    """As printed in English; a description in brackets where that is not known."""
    authors: tuple[str, ...] = ()
    """Family name first, as printed."""
    journal: str
    """Name, with volume, issue and pages where they are known."""
    year: str
    doi: str = ""

    def __str__(self) -> str:
        """Return the reference in one line."""
        names = ", ".join(self.authors) or "authors not recorded here"
        doi = f", doi:{self.doi}" if self.doi else ", no DOI known"
        return f"{names}: {self.title}. {self.journal}, {self.year}{doi}"


PAPERS: dict[str, Paper] = {
    "g-idrn": Paper(
        title="G-IDRN: A group-information distillation residual network for lightweight image "
        "super-resolution",
        authors=("Wang Yun-Tao", "Zhao Lin", "Liu Li-Man", "Tao Wen-Bing"),
        journal="Acta Automatica Sinica, 50(10): 2063-2078",
        year="2024",
        doi="10.16383/j.aas.c211089",
    ),
    "rrlfn": Paper(
        title="[Reparameterized residual local feature network, RRLFN]",
        journal="Journal of Nanjing Normal University (Natural Science Edition), ISSN 1001-4616",
        year="2025",
        doi="10.3969/j.issn.1001-4616.2025.06.012",
    ),
    "ddsr": Paper(
        title="[Deep deconvolution super-resolution, DDSR]",
        journal="a Chinese software journal",
        year="about 2018",
    ),
    "attentive-gan": Paper(
        title="[Super-resolution by an attention-recurrent generative adversarial network]",
        journal="a Chinese journal of computer systems",
        year="about 2020",
    ),
    "nested-attn": Paper(
        title="[Super-resolution by a multi-layer nested attention residual network]",
        journal="a Chinese automation journal",
        year="about 2023",
    ),
}
"""By the name of our network."""
