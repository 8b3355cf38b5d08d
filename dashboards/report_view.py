"""The report's files, how the result was obtained, and the strategy document."""

from __future__ import annotations

import streamlit as st

from dashboards import parts
from dashboards.loading import Backtest
from foundation.errors import QuarterdeckError
from research.report import HTML_FILE, PDF_FILE, XLSX_FILE, write_report
from research.report_content import ReportContent

_FILES = (
    (HTML_FILE, "Report (HTML)", "text/html"),
    (PDF_FILE, "Report (PDF)", "application/pdf"),
    (XLSX_FILE, "Tables (XLSX)",
     "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
)  # fmt: skip


def show(backtest: Backtest, content: ReportContent) -> None:
    """Show the view."""
    st.subheader("Report", anchor=False)
    there = [one for one in _FILES if (backtest.directory / one[0]).is_file()]
    with st.container(horizontal=True):
        for name, label, mime in there:
            path = backtest.directory / name
            parts.download(
                label, path.read_bytes, f"{content.title}-{backtest.key}-{name}", mime, name
            )
    if len(there) < len(_FILES):
        missing = [name for name, *_ in _FILES if name not in {one[0] for one in there}]
        st.caption(f"Not written yet: {', '.join(missing)}.")
        if st.button("Write the report", icon=":material/description:"):
            _write(backtest)
    st.caption(f"Files of this result are in {parts.escaped(str(backtest.directory))}")
    st.subheader("How it was obtained", anchor=False)
    facts = [*content.facts, *content.assumptions]
    rows = "\n".join(f"| {parts.escaped(k)} | {parts.escaped(v)} |" for k, v in facts)
    st.markdown(f"| Fact | Of this result |\n|:--|:--|\n{rows}")
    st.subheader("Strategy document", anchor=False)
    language = "json" if content.document.lstrip().startswith("{") else "yaml"
    st.code(content.document, language=language)


def _write(backtest: Backtest) -> None:
    bar = st.progress(0.0, "Writing the report …")

    def told(done: int, total: int, label: str = "") -> None:
        bar.progress(done / total, f"{label} ({done} of {total})")

    try:
        write_report(backtest.directory, progress=told)
    except QuarterdeckError as error:
        st.error(f"The report can't be written: {parts.escaped(str(error))}")
        return
    st.rerun()
