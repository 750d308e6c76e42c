"""Documents that are not PDF: Word, PowerPoint, Excel, EPUB and HTML, read in the worker process to lines with their places."""
