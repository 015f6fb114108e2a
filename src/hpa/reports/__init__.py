"""HTML pages, figures, model card and text summaries. May import every room up to evaluation."""
