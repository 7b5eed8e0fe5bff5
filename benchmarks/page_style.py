"""The style sheet of the page of results, in a light and a dark theme."""

STYLE = """
:root {
  --font: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif;
  --paper: #fcfcfa; --card: #f3f2ee; --ink: #1d2126; --quiet: #626a73; --line: #dcdcd6;
  --better: #3b7dbd; --worse: #d2701e; --neutral: #7b8794;
  --pullback: #1f66b0; --hand: #6b7178; --kept: #a9adb3; --jax: #d9822b; --torch: #c2403d;
  --autograd: #7a5aa8; --plain: #6b7178; --forward: #3f9a74;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --card: #1f2226; --ink: #e8e6e1; --quiet: #9ba3ab; --line: #363b41;
    --better: #5b9bd8; --worse: #e08a3c; --neutral: #8d98a4;
    --pullback: #6cb0f2; --hand: #a3a9b0; --kept: #6d737a; --jax: #eda04d; --torch: #ea6d68;
    --autograd: #ab8cdb; --plain: #a3a9b0; --forward: #62c197;
  }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 var(--font); -webkit-text-size-adjust: 100%;
}
main { max-width: 1180px; margin: 0 auto; padding: 3rem 1.5rem 5rem; }
header p { color: var(--quiet); font-size: 0.875rem; margin: 0; }
h1 { font-size: 2rem; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 0.75rem; }
h2 { font-size: 1.3rem; letter-spacing: -0.01em; margin: 0 0 0.4rem; }
section { margin-top: 3.25rem; }
section > p { color: var(--quiet); max-width: 46rem; margin: 0 0 1.25rem; }
section li { margin: 0.35rem 0; max-width: 60rem; overflow-wrap: anywhere; }
section ul { padding-left: 1.2rem; }
.tiles {
  display: grid; gap: 0.75rem; margin-top: 2rem;
  grid-template-columns: repeat(auto-fit, minmax(9.2rem, 1fr));
}
.tiles div { background: var(--card); border-radius: 10px; padding: 0.8rem 0.9rem 0.9rem; }
.tiles span, .tiles em { display: block; color: var(--quiet); font-size: 0.8125rem; }
.tiles em { font-style: normal; line-height: 1.4; }
.tiles span { min-height: 2.6em; line-height: 1.3; }
.tiles b {
  display: block; font-size: 1.8rem; line-height: 1.3; font-weight: 650; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums;
}
.tiles small { font-size: 1.1rem; font-weight: 500; color: var(--quiet); margin-left: 0.1em; }
.wide { overflow-x: auto; }
.wide svg { display: block; width: 100%; min-width: 820px; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: 0.3rem 1.25rem; margin: 0 0 0.75rem; }
.legend span { font-size: 0.8125rem; color: var(--quiet); }
.legend i {
  display: inline-block; width: 0.7rem; height: 0.7rem; border-radius: 50%;
  margin-right: 0.45rem; vertical-align: -0.05rem;
}
table { border-collapse: collapse; font-size: 0.8125rem; white-space: nowrap; }
table { font-variant-numeric: tabular-nums; min-width: 100%; }
th { color: var(--quiet); font-weight: 500; border-bottom: 1px solid var(--line); }
th { white-space: normal; max-width: 6rem; vertical-align: bottom; line-height: 1.3; }
th, td { padding: 0.3rem 0.75rem 0.3rem 0; text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tbody tr:hover { background: var(--card); }
tr.failed { color: var(--worse); }
@media print { main { max-width: none; padding: 0; } section { break-inside: avoid; } }
"""
